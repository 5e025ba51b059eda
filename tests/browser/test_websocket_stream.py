"""Back-pressure against Chromium's ``WebSocketStream``, which reads and writes only as fast as its page does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from peer.timing import MS, eventually
from playwright.async_api import Page

import everwire
from everwire import _core

pytestmark = pytest.mark.asyncio(loop_scope="session")

PART = 64 * 1024
COUNT = 1500
"""Some 94 MiB in all: more than every buffer on the way together."""
MIB = 1024 * 1024


async def standstill(count: Callable[[], int]) -> int:
    """Wait until a growing number has stopped to grow."""
    loop = asyncio.get_running_loop()
    last, since = count(), loop.time()
    while loop.time() - since < 500 * MS:
        await asyncio.sleep(20 * MS)
        if count() != last:
            last, since = count(), loop.time()
    return last


async def test_a_page_that_does_not_read_stops_our_sender(page: Page, site: Callable[..., Any]) -> None:
    sent = 0

    async def handler(ws: everwire.ServerConnection) -> None:
        nonlocal sent
        for number in range(COUNT):
            await ws.send(number.to_bytes(4) * (PART // 4))
            sent += 1

    async with site(handler, compression=None) as here:
        await page.goto(here.page())
        await page.evaluate(
            "async (url) => { window.stream = new WebSocketStream(url); window.way = await stream.opened; }",
            here.socket(),
        )
        await eventually(lambda: sent > 0)
        held = await standstill(lambda: sent)
        assert held < COUNT / 2
        assert _core.memory_held() < MIB
        wrong = await page.evaluate(
            """async (count) => {
              const reader = way.readable.getReader();
              for (let number = 0; number < count; number += 1) {
                const { value } = await reader.read();
                if (new DataView(value.buffer ?? value).getUint32(0) !== number || value.byteLength !== 65536) return number;
              }
              return (await reader.read()).done;
            }""",
            COUNT,
        )
        assert wrong is True
        assert sent == COUNT
        assert (await page.evaluate("stream.closed"))["closeCode"] == 1000


async def test_a_handler_that_does_not_read_stops_the_page(page: Page, site: Callable[..., Any]) -> None:
    go = asyncio.Event()
    received: list[int] = []

    async def handler(ws: everwire.ServerConnection) -> None:
        await go.wait()
        async for message in ws:
            assert isinstance(message, bytes)
            assert len(message) == PART
            received.append(int.from_bytes(message[:4]))

    async with site(handler, compression=None) as here:
        await page.goto(here.page())
        await page.evaluate(
            """async ([url, count]) => {
              window.stream = new WebSocketStream(url);
              const { writable } = await stream.opened;
              const writer = writable.getWriter();
              window.written = 0;
              window.all = (async () => {
                for (let number = 0; number < count; number += 1) {
                  const part = new Uint8Array(65536);
                  new DataView(part.buffer).setUint32(0, number);
                  await writer.ready;
                  await writer.write(part);
                  written = number + 1;
                }
                await writer.close();
              })();
            }""",
            [here.socket(), COUNT],
        )
        await page.wait_for_function("written > 0")
        held = 0
        while (now := await page.evaluate("written")) != held:
            held = now
            await asyncio.sleep(500 * MS)
        assert held < COUNT / 2
        assert _core.memory_held() < 3 * MIB
        go.set()
        await page.evaluate("all")
        assert (await page.evaluate("stream.closed"))["closeCode"] in (1000, 1005)
        await eventually(lambda: not here.server.connections)
    assert received == list(range(COUNT))


async def test_protocol_extensions_and_close_information(page: Page, site: Callable[..., Any]) -> None:
    async def handler(ws: everwire.ServerConnection) -> None:
        await ws.send("text stays text")
        await ws.close(4321, "as agreed")

    async with site(handler, subprotocols=["v1"]) as here:
        await page.goto(here.page())
        told = await page.evaluate(
            """async (url) => {
              const stream = new WebSocketStream(url, { protocols: ["v1"] });
              const { readable, protocol, extensions } = await stream.opened;
              const { value } = await readable.getReader().read();
              const { closeCode, reason } = await stream.closed;
              return [protocol, extensions.split(";")[0], value, closeCode, reason];
            }""",
            here.socket(),
        )
    assert told == ["v1", "permessage-deflate", "text stays text", 4321, "as agreed"]
