"""Messages through a real browser, byte for byte, in both directions."""

from __future__ import annotations

import asyncio
import base64
import random
from collections.abc import Callable
from typing import Any

import pytest
from peer.timing import MS, eventually
from playwright.async_api import Page

import everwire
from everwire.engine.shards import shard_of

pytestmark = pytest.mark.asyncio(loop_scope="session")

MIB = 1024 * 1024
NOISE = random.Random(6455)

TEXTS = {
    "empty": "",
    "ascii": "hello",
    "unicode": "∿ Grüße 日本語 العربية 👩‍👩‍👧 \x00 \ufeff \ufffd \U0010ffff",
    "one MiB": "é" * (MIB // 2),
}
BINARIES = {
    "empty": b"",
    "every byte": bytes(range(256)),
    "64 KiB": NOISE.randbytes(65536),
    "one MiB": NOISE.randbytes(MIB),
    "one MiB that compresses": b"wire" * (MIB // 4),
}

# Sends what base64 stands for, and answers what came back, as base64.
ECHO_BYTES = """async ([url, data, kind]) => {
  const ws = dial(url);
  await ws.opened;
  const bytes = Uint8Array.from(atob(data), (char) => char.charCodeAt(0));
  ws.send(kind === "blob" ? new Blob([bytes]) : kind === "view" ? bytes : bytes.buffer);
  const back = new Uint8Array(await ws.next());
  ws.close();
  let text = "";
  for (let at = 0; at < back.length; at += 32768) text += String.fromCharCode(...back.subarray(at, at + 32768));
  return btoa(text);
}"""

ECHO_TEXT = """async ([url, text]) => {
  const ws = dial(url);
  await ws.opened;
  ws.send(text);
  const back = await ws.next();
  ws.close();
  return back;
}"""

EXTENSIONS = """async (url) => {
  const ws = dial(url);
  await ws.opened;
  ws.close();
  return ws.extensions;
}"""


class Echo:
    """A handler that keeps what it received."""

    def __init__(self) -> None:
        self.received: list[str | bytes] = []

    async def __call__(self, ws: everwire.ServerConnection) -> None:
        async for message in ws:
            self.received.append(message)
            await ws.send(message)


@pytest.mark.parametrize("compression", ["deflate", None])
@pytest.mark.parametrize("name", TEXTS)
async def test_text_comes_back_as_it_was(page: Page, site: Callable[..., Any], name: str, compression: str) -> None:
    text, echo = TEXTS[name], Echo()
    async with site(echo, compression=compression) as here:
        await page.goto(here.page())
        assert await page.evaluate(ECHO_TEXT, [here.socket(), text]) == text
    assert echo.received == [text]


@pytest.mark.parametrize("compression", ["deflate", None])
@pytest.mark.parametrize("name", BINARIES)
async def test_bytes_come_back_as_they_were(page: Page, site: Callable[..., Any], name: str, compression: str) -> None:
    data, echo = BINARIES[name], Echo()
    async with site(echo, compression=compression) as here:
        await page.goto(here.page())
        back = await page.evaluate(ECHO_BYTES, [here.socket(), base64.b64encode(data).decode(), "buffer"])
    assert base64.b64decode(back) == data
    assert echo.received == [data]


@pytest.mark.parametrize("kind", ["blob", "view"])
async def test_every_binary_type_of_the_browser_is_a_binary_message(
    page: Page, site: Callable[..., Any], kind: str
) -> None:
    echo = Echo()
    async with site(echo) as here:
        await page.goto(here.page())
        back = await page.evaluate(ECHO_BYTES, [here.socket(), base64.b64encode(bytes(range(256))).decode(), kind])
    assert base64.b64decode(back) == bytes(range(256))
    assert echo.received == [bytes(range(256))]


async def test_messages_keep_their_order(page: Page, site: Callable[..., Any]) -> None:
    async with site(Echo()) as here:
        await page.goto(here.page())
        numbers = await page.evaluate(
            """async (url) => {
              const ws = dial(url);
              await ws.opened;
              for (let number = 0; number < 5000; number += 1) ws.send(String(number));
              const back = [];
              while (back.length < 5000) back.push(Number(await ws.next()));
              ws.close();
              return back;
            }""",
            here.socket(),
        )
    assert numbers == list(range(5000))


async def test_fragments_of_ours_are_one_message_to_the_browser(page: Page, site: Callable[..., Any]) -> None:
    async def handler(ws: everwire.ServerConnection) -> None:
        await ws.send(["one, ", "zwei, ", "三"])
        await ws.send(bytes([part]) for part in range(256))
        await ws.wait_closed()

    async with site(handler) as here:
        await page.goto(here.page())
        text, length = await page.evaluate(
            """async (url) => {
              const ws = dial(url);
              const messages = [await ws.next(), (await ws.next()).byteLength];
              ws.close();
              return messages;
            }""",
            here.socket(),
        )
    assert (text, length) == ("one, zwei, 三", 256)


async def test_a_broadcast_reaches_every_tab(page: Page, site: Callable[..., Any]) -> None:
    async def handler(ws: everwire.ServerConnection) -> None:
        await ws.wait_closed()

    text = "to everybody " * 1000
    async with site(handler) as here:
        await page.goto(here.page())
        await page.evaluate(
            """async (url) => {
              window.all = Array.from({ length: 20 }, () => dial(url));
              await Promise.all(all.map((ws) => ws.opened));
            }""",
            here.socket(),
        )
        await eventually(lambda: len(here.server.connections) == 20)
        everwire.broadcast(here.server.connections, text)
        assert await page.evaluate("Promise.all(all.map((ws) => ws.next()))") == [text] * 20


async def test_compression_is_agreed_and_saves_bytes(page: Page, site: Callable[..., Any]) -> None:
    text = "the same again and again, " * 10_000
    echo = Echo()
    async with site(echo) as here:
        await page.goto(here.page())
        shard = shard_of(asyncio.get_running_loop())
        before = shard.metrics()
        extensions = await page.evaluate(EXTENSIONS, here.socket())
        assert extensions.startswith("permessage-deflate")
        assert await page.evaluate(ECHO_TEXT, [here.socket(), text]) == text
        after = shard.metrics()
    assert echo.received == [text]
    assert after["read"] - before["read"] < len(text) / 10
    assert after["written"] - before["written"] < len(text) / 10


@pytest.mark.parametrize(
    "options",
    [
        everwire.Deflate(server_no_context_takeover=False, client_no_context_takeover=False, threshold=0),
        everwire.Deflate(server_max_window_bits=9, client_max_window_bits=9, threshold=0),
        everwire.Deflate(level=1, threshold=0),
    ],
    ids=["takeover", "small windows", "fast"],
)
async def test_every_way_of_compressing_is_understood(
    page: Page, site: Callable[..., Any], options: everwire.Deflate
) -> None:
    texts = [f"message {number} " * 500 for number in range(20)]
    async with site(Echo(), compression=options) as here:
        await page.goto(here.page())
        back = await page.evaluate(
            """async ([url, texts]) => {
              const ws = dial(url);
              await ws.opened;
              for (const text of texts) ws.send(text);
              const back = [];
              while (back.length < texts.length) back.push(await ws.next());
              ws.close();
              return back;
            }""",
            [here.socket(), texts],
        )
    assert back == texts


async def test_nothing_is_compressed_unless_it_was_agreed(page: Page, site: Callable[..., Any]) -> None:
    async with site(Echo(), compression=None) as here:
        await page.goto(here.page())
        extensions = await page.evaluate(EXTENSIONS, here.socket())
    assert extensions == ""


async def test_the_browser_answers_pings(page: Page, site: Callable[..., Any]) -> None:
    measured: list[float] = []

    async def handler(ws: everwire.ServerConnection) -> None:
        measured.append(await (await ws.ping()))

    async with site(handler) as here:
        await page.goto(here.page())
        assert (await page.evaluate("(url) => dial(url).closed", here.socket()))["code"] == 1000
    assert len(measured) == 1
    assert 0 < measured[0] < 10


async def test_a_silent_browser_is_kept_by_its_heartbeats(page: Page, site: Callable[..., Any]) -> None:
    async def handler(ws: everwire.ServerConnection) -> None:
        await asyncio.sleep(2500 * MS)

    async with site(handler, ping_interval=50 * MS, ping_timeout=1000 * MS) as here:
        await page.goto(here.page())
        assert (await page.evaluate("(url) => dial(url).closed", here.socket()))["code"] == 1000
