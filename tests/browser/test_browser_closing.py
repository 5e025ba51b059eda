"""The end of a connection as both a browser and a server see it (RFC 6455 §7)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from peer.timing import MS
from playwright.async_api import Page

import everwire

pytestmark = pytest.mark.asyncio(loop_scope="session")

CLOSED = "(url) => dial(url).closed"


class Ending:
    """A handler that waits for the end, and keeps how it was."""

    def __init__(self) -> None:
        self._connection: asyncio.Future[everwire.ServerConnection] = asyncio.get_running_loop().create_future()

    async def __call__(self, ws: everwire.ServerConnection) -> None:
        await ws.wait_closed()
        self._connection.set_result(ws)

    async def seen(self) -> tuple[int | None, str | None]:
        ws = await asyncio.wait_for(self._connection, 20_000 * MS)
        return ws.close_code, ws.close_reason


@pytest.mark.parametrize(
    ("code", "reason"),
    [(1000, ""), (1001, "moving on"), (1008, "not you"), (3000, ""), (4999, "∿ " * 20), (1013, "x" * 123)],
)
async def test_the_servers_code_and_reason_arrive(page: Page, site: Callable[..., Any], code: int, reason: str) -> None:
    async def handler(ws: everwire.ServerConnection) -> None:
        await ws.close(code, reason)

    async with site(handler) as here:
        await page.goto(here.page())
        assert await page.evaluate(CLOSED, here.socket()) == {"code": code, "reason": reason, "wasClean": True}


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [([], 1005, ""), ([1000], 1000, ""), ([1000, "done"], 1000, "done"), ([4000, "tschüß ∿"], 4000, "tschüß ∿")],
)
async def test_the_browsers_code_and_reason_arrive(
    page: Page, site: Callable[..., Any], arguments: list[object], code: int, reason: str
) -> None:
    ending = Ending()
    async with site(ending) as here:
        await page.goto(here.page())
        closed = await page.evaluate(
            """async ([url, code]) => {
              const ws = dial(url);
              await ws.opened;
              ws.close(...code);
              return ws.closed;
            }""",
            [here.socket(), arguments],
        )
        assert closed == {"code": code, "reason": reason, "wasClean": True}
        assert await ending.seen() == (code, reason)


async def test_a_handler_that_returns_closes_normally(page: Page, site: Callable[..., Any]) -> None:
    async def handler(ws: everwire.ServerConnection) -> None:
        pass

    async with site(handler) as here:
        await page.goto(here.page())
        assert await page.evaluate(CLOSED, here.socket()) == {"code": 1000, "reason": "", "wasClean": True}


async def test_a_handler_that_fails_closes_with_1011_and_says_nothing_about_it(
    page: Page, site: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(ws: everwire.ServerConnection) -> None:
        raise ValueError("a secret")

    async with site(handler) as here:
        await page.goto(here.page())
        assert await page.evaluate(CLOSED, here.socket()) == {"code": 1011, "reason": "", "wasClean": True}
    assert "a secret" in caplog.text


async def test_a_message_beyond_the_limit_closes_with_1009(page: Page, site: Callable[..., Any]) -> None:
    ending = Ending()
    async with site(ending, max_size=1000) as here:
        await page.goto(here.page())
        closed = await page.evaluate(
            """async (url) => {
              const ws = dial(url);
              await ws.opened;
              ws.send("x".repeat(1001));
              return ws.closed;
            }""",
            here.socket(),
        )
        assert closed["code"] == 1009
        await ending.seen()


async def test_a_connection_that_is_dropped_is_1006_and_not_clean(page: Page, site: Callable[..., Any]) -> None:
    async def handler(ws: everwire.ServerConnection) -> None:
        ws.abort()

    async with site(handler) as here:
        await page.goto(here.page())
        assert await page.evaluate(CLOSED, here.socket()) == {"code": 1006, "reason": "", "wasClean": False}


async def test_a_tab_that_goes_elsewhere_says_going_away(page: Page, site: Callable[..., Any]) -> None:
    ending = Ending()
    async with site(ending) as here:
        await page.goto(here.page())
        await page.evaluate("(url) => (window.kept = dial(url)).opened", here.socket())
        await page.goto("about:blank")
        assert await ending.seen() == (1001, "")


async def test_a_tab_that_is_closed_frees_its_connection(page: Page, site: Callable[..., Any]) -> None:
    ending = Ending()
    async with site(ending) as here:
        await page.goto(here.page())
        await page.evaluate("(url) => (window.kept = dial(url)).opened", here.socket())
        await page.close()
        code, _ = await ending.seen()
        assert code in (1001, 1006)
        assert not here.server.connections


async def test_a_server_that_shuts_down_says_so_to_every_tab(page: Page, site: Callable[..., Any]) -> None:
    async def handler(ws: everwire.ServerConnection) -> None:
        await ws.wait_closed()

    async with site(handler) as here:
        await page.goto(here.page())
        await page.evaluate("(url) => (window.kept = dial(url)).opened", here.socket())
        here.server.close(code=1012, reason="back soon")
        closed = await page.evaluate("kept.closed")
        await here.server.wait_closed()
    assert closed == {"code": 1012, "reason": "back soon", "wasClean": True}
