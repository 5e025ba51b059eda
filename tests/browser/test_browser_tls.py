"""``wss://`` from a real browser, with TLS in the core and with TLS by ``ssl.SSLContext``."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from peer.certificates import identity, server_context
from peer.timing import eventually
from playwright.async_api import Browser, Page

import everwire

pytestmark = pytest.mark.asyncio(loop_scope="session")

DIGEST = """async (url) => {
  const ws = dial(url);
  const data = await ws.next();
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", data));
  ws.send(data);
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}"""


@pytest.mark.parametrize("kind", ["core", "outside"])
async def test_a_mebibyte_goes_there_and_back(page: Page, site: Callable[..., Any], tmp_path: Path, kind: str) -> None:
    tls = everwire.TLS(identity().certificate, identity().key) if kind == "core" else server_context(tmp_path)
    data = random.Random(1).randbytes(1024 * 1024)
    back: list[str | bytes] = []

    async def handler(ws: everwire.ServerConnection) -> None:
        await ws.send(data)
        back.append(await ws.recv())

    async with site(handler, ssl=tls, compression=None) as here:
        await page.goto(here.page("localhost"))
        digest = await page.evaluate(DIGEST, here.socket(host="localhost"))
        await eventually(lambda: back)
    assert digest == hashlib.sha256(data).hexdigest()
    assert back == [data]


async def test_a_certificate_that_nobody_vouches_for_is_refused(chromium: Browser, site: Callable[..., Any]) -> None:
    entered: list[everwire.ServerConnection] = []

    async with site(entered.append, ssl=everwire.TLS(identity().certificate, identity().key)) as here:
        async with await chromium.new_context() as context:
            page = await context.new_page()
            code = await page.evaluate(
                "(url) => new Promise((resolve) => { new WebSocket(url).onclose = ({ code }) => resolve(code); })",
                here.socket(host="localhost"),
            )
        assert code == 1006
        assert entered == []


async def test_a_new_certificate_leaves_open_connections_alone(
    page: Page, site: Callable[..., Any], tmp_path: Path
) -> None:
    certificate, key = identity().write(tmp_path)
    tls = everwire.TLS(certificate, key)

    async def echo(ws: everwire.ServerConnection) -> None:
        async for message in ws:
            await ws.send(message)

    ask = "async (text) => { kept.send(text); return kept.next(); }"
    async with site(echo, ssl=tls) as here:
        await page.goto(here.page("localhost"))
        await page.evaluate("(url) => (window.kept = dial(url)).opened", here.socket(host="localhost"))
        assert await page.evaluate(ask, "before") == "before"
        tls.reload()
        assert await page.evaluate(ask, "after") == "after"
        assert await page.evaluate("(url) => dial(url).opened", here.socket(host="localhost"))
