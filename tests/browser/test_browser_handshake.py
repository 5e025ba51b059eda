"""The opening handshake with a real browser: subprotocols, origins, cookies, refusals."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from peer.timing import MS
from playwright.async_api import ConsoleMessage, Page

import everwire

pytestmark = pytest.mark.asyncio(loop_scope="session")

PROTOCOL = """async ([url, protocols]) => {
  const ws = dial(url, protocols);
  const how = await Promise.race([ws.opened, ws.closed]);
  ws.close();
  return how === true ? ws.protocol : how.code;
}"""


async def hold(ws: everwire.ServerConnection) -> None:
    await ws.wait_closed()


@contextlib.asynccontextmanager
async def refused(page: Page) -> AsyncIterator[asyncio.Future[int]]:
    """The status that a handshake of a page is refused with: the console shows it to developers, scripts must not know."""
    status: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def listen(message: ConsoleMessage) -> None:
        found = re.search(r"Unexpected response code: (\d+)|HTTP Authentication failed", message.text)
        if found and not status.done():
            status.set_result(int(found[1] or 401))

    page.on("console", listen)
    yield status
    page.remove_listener("console", listen)


async def status_of(page: Page, url: str) -> int:
    """The status that a handshake of this page is refused with."""
    async with refused(page) as status:
        closed = await page.evaluate("(url) => dial(url).closed", url)
        assert closed == {"code": 1006, "reason": "", "wasClean": False}
        return await asyncio.wait_for(status, 20_000 * MS)


class TestSubprotocols:
    @pytest.mark.parametrize(
        ("ours", "theirs", "agreed"),
        [
            (["chat.v2", "chat.v1"], ["chat.v1", "chat.v2"], "chat.v2"),
            (["chat.v2"], ["chat.v1", "chat.v2"], "chat.v2"),
            (["chat.v2"], [], ""),
            ([], [], ""),
        ],
    )
    async def test_our_first_that_the_browser_offers_is_chosen(
        self, page: Page, site: Callable[..., Any], ours: list[str], theirs: list[str], agreed: str
    ) -> None:
        seen: list[str | None] = []

        async def handler(ws: everwire.ServerConnection) -> None:
            seen.append(ws.subprotocol)
            await ws.wait_closed()

        async with site(handler, subprotocols=ours) as here:
            await page.goto(here.page())
            assert await page.evaluate(PROTOCOL, [here.socket(), theirs]) == agreed
        assert seen == [agreed or None]

    async def test_a_browser_that_wants_one_gives_up_without(self, page: Page, site: Callable[..., Any]) -> None:
        async with site(hold, subprotocols=["ours"]) as here:
            await page.goto(here.page())
            assert await page.evaluate(PROTOCOL, [here.socket(), ["theirs"]]) == 1006

    async def test_the_application_may_choose(self, page: Page, site: Callable[..., Any]) -> None:
        def choose(ws: everwire.ServerConnection, offered: list[str]) -> str:
            return max(offered)

        async with site(hold, select_subprotocol=choose) as here:
            await page.goto(here.page())
            assert await page.evaluate(PROTOCOL, [here.socket(), ["v1", "v3", "v2"]]) == "v3"


class TestOrigins:
    async def test_a_page_of_the_same_server_is_let_in(self, page: Page, site: Callable[..., Any]) -> None:
        async with site(hold) as here:
            await page.goto(here.page())
            assert await page.evaluate("(url) => dial(url).opened", here.socket())

    async def test_a_page_of_another_site_is_refused(self, page: Page, site: Callable[..., Any]) -> None:
        async with site(hold) as here, site(hold) as there:
            await page.goto(there.page("elsewhere.test"))
            assert await status_of(page, here.socket()) == 403

    async def test_a_name_that_leads_to_loopback_is_refused(self, page: Page, site: Callable[..., Any]) -> None:
        # DNS rebinding: the page and the socket have the same origin, and it is not this machine's.
        async with site(hold) as here:
            await page.goto(here.page("elsewhere.test"))
            assert await status_of(page, here.socket(host="elsewhere.test")) == 403

    async def test_a_host_that_is_allowed_reaches_loopback(self, page: Page, site: Callable[..., Any]) -> None:
        async with site(hold, allowed_hosts=["elsewhere.test"]) as here:
            await page.goto(here.page("elsewhere.test"))
            assert await page.evaluate("(url) => dial(url).opened", here.socket(host="elsewhere.test"))

    async def test_an_origin_in_the_list_is_let_in(self, page: Page, site: Callable[..., Any]) -> None:
        async with site(hold) as there:
            origin = there.page("elsewhere.test").rstrip("/")
            async with site(hold, origins=[origin]) as here:
                await page.goto(there.page("elsewhere.test"))
                assert await page.evaluate("(url) => dial(url).opened", here.socket())
                await page.goto(here.page())
                assert await status_of(page, here.socket()) == 403

    async def test_an_origin_is_more_than_its_host(self, page: Page, site: Callable[..., Any]) -> None:
        async with site(hold) as there, site(hold, origins=["http://elsewhere.test"]) as here:
            await page.goto(there.page("elsewhere.test"))
            assert await status_of(page, here.socket()) == 403

    async def test_a_pattern_lets_in_what_it_matches(self, page: Page, site: Callable[..., Any]) -> None:
        async with site(hold, origins=[re.compile(r"http://elsewhere\.test:\d+")]) as here:
            await page.goto(here.page("elsewhere.test"))
            assert await page.evaluate("(url) => dial(url).opened", here.socket())
            await page.goto(here.page())
            assert await status_of(page, here.socket()) == 403

    async def test_a_star_lets_everybody_in(self, page: Page, site: Callable[..., Any]) -> None:
        async with site(hold) as there, site(hold, origins="*") as here:
            await page.goto(there.page("elsewhere.test"))
            assert await page.evaluate("(url) => dial(url).opened", here.socket())

    async def test_a_sandboxed_frame_is_refused(self, page: Page, site: Callable[..., Any]) -> None:
        async with site(hold) as here:
            await page.goto(here.page())
            await page.set_content("<iframe sandbox='allow-scripts' srcdoc='<p>no origin'></iframe>")
            (frame,) = page.main_frame.child_frames
            async with refused(page) as status:
                await frame.evaluate("(url) => { new WebSocket(url); }", here.socket())
                assert await asyncio.wait_for(status, 20_000 * MS) == 403


class TestRequest:
    async def test_path_query_headers_and_cookies_arrive(self, page: Page, site: Callable[..., Any]) -> None:
        seen: list[everwire.Request] = []

        async def handler(ws: everwire.ServerConnection) -> None:
            assert ws.request is not None
            seen.append(ws.request)

        async with site(handler) as here:
            await page.goto(here.page())
            await page.evaluate("(url) => dial(url).closed", here.socket("room/7?name=Anna%20%E2%88%BF&empty="))
            origin = here.page().rstrip("/")
        (request,) = seen
        assert request.path == "/room/7?name=Anna%20%E2%88%BF&empty="
        assert request.query == {"name": "Anna ∿", "empty": ""}
        assert request.cookies == {"session": "of-the-page"}
        assert request.headers["Origin"] == origin
        assert "Chrome" in request.headers["User-Agent"]

    @pytest.mark.parametrize("status", [401, 403, 404, 503])
    async def test_a_refusal_of_the_application_is_no_connection(
        self, page: Page, site: Callable[..., Any], status: int
    ) -> None:
        entered: list[everwire.ServerConnection] = []

        def refuse(ws: everwire.ServerConnection, request: everwire.Request) -> everwire.Response | None:
            if "Upgrade" in request.headers:
                return ws.respond(status, "no\n")
            return everwire.Response(200, "OK", everwire.Headers({"Content-Type": "text/html"}), b"<!doctype html>")

        async with site(entered.append, process_request=refuse) as here:
            await page.goto(here.page())
            assert await status_of(page, here.socket()) == status
        assert entered == []
