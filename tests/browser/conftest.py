"""Debian's Chromium, driven by Playwright, against servers of this process."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright

import everwire

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Somebody else's site, which is on this machine all the same.
    "--host-resolver-rules=MAP elsewhere.test 127.0.0.1",
)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """The browser; each test has windows of its own."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.fail("Chromium is missing: apt-get install -y chromium (make test does it where it may)", pytrace=False)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=OPTIONS)
        yield browser
        await browser.close()


# A WebSocket that keeps what comes until a test asks for it.
DIAL = """
window.dial = (url, protocols = []) => {
  const ws = new WebSocket(url, protocols);
  const inbox = [], waiting = [];
  ws.binaryType = "arraybuffer";
  ws.onmessage = ({ data }) => waiting.length ? waiting.shift()(data) : inbox.push(data);
  ws.next = () => inbox.length ? inbox.shift() : new Promise((resolve) => waiting.push(resolve));
  ws.opened = new Promise((resolve) => { ws.onopen = () => resolve(true); });
  ws.closed = new Promise((resolve) => {
    ws.onclose = ({ code, reason, wasClean }) => resolve({ code, reason, wasClean });
  });
  return ws;
};
"""


@pytest_asyncio.fixture(loop_scope="session")
async def page(chromium: Browser) -> AsyncIterator[Page]:
    """A tab without a page yet."""
    async with await chromium.new_context(ignore_https_errors=True) as context:
        await context.add_init_script(DIAL)
        yield await context.new_page()


class Site:
    """A server with an empty page at ``/`` and a WebSocket at every path."""

    def __init__(self, server: everwire.Server, secure: bool) -> None:
        self.server = server
        self._port = server.sockets[0].getsockname()[1]
        self._secure = "s" if secure else ""

    def page(self, host: str = "127.0.0.1") -> str:
        """Where the page is."""
        return f"http{self._secure}://{host}:{self._port}/"

    def socket(self, path: str = "", host: str = "127.0.0.1") -> str:
        """Where a WebSocket is."""
        return f"ws{self._secure}://{host}:{self._port}/{path}"


@contextlib.asynccontextmanager
async def serve_site(handler: Any, **options: Any) -> AsyncIterator[Site]:
    def empty_page(ws: everwire.ServerConnection, request: everwire.Request) -> everwire.Response | None:
        if "Upgrade" in request.headers:
            return None
        headers = everwire.Headers({"Content-Type": "text/html", "Set-Cookie": "session=of-the-page; HttpOnly"})
        return everwire.Response(200, "OK", headers, b"<!doctype html><title>empty</title>")

    options = {"process_request": empty_page, **options}
    async with everwire.serve(handler, "127.0.0.1", 0, **options) as server:
        yield Site(server, options.get("ssl") is not None)


@pytest.fixture
def site() -> Callable[..., contextlib.AbstractAsyncContextManager[Site]]:
    """Serves a handler, and an empty page from the same port."""
    return serve_site
