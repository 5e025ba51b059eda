"""Servers for the browser's API: ours and that of the ``websockets`` package, with the paths that the web platform's tests use."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import uvloop
import websockets.asyncio.server
from peer.certificates import authority, identity
from peer.timing import MS

import everwire
from everwire.browser import Event, WebSocket


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.new_event_loop}


@dataclasses.dataclass
class Site:
    """A server and what it has seen.

    Attributes:
        url: of it, without a path.
        options: what a client needs to connect.
        go: whether handlers that wait for it may go on.
        ends: the code and reason of every connection that has ended.
        paths: path and query of every connection.
    """

    url: str
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    go: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)
    ends: asyncio.Queue[tuple[int, str]] = dataclasses.field(default_factory=asyncio.Queue)
    paths: list[str] = dataclasses.field(default_factory=list)

    def open(self, path: str = "/echo", *arguments: Any, **options: Any) -> WebSocket:
        """Make a WebSocket to a path."""
        return WebSocket(self.url + path, *arguments, **self.options, **options)

    async def serve(self, ws: Any) -> None:
        """Serve a connection of either kind."""
        parts = urlsplit(ws.request.path)
        self.paths.append(ws.request.path)
        handler: Callable[[Any, Any], Awaitable[None]] = getattr(self, f"on_{parts.path[1:].replace('-', '_')}")
        with contextlib.suppress(everwire.ConnectionClosed, websockets.ConnectionClosed):
            await handler(ws, parts)
        await ws.wait_closed()
        await self.ends.put((ws.close_code, ws.close_reason))

    async def on_(self, ws: Any, parts: Any) -> None:
        """Says nothing."""

    async def on_echo(self, ws: Any, parts: Any) -> None:
        """Says everything again."""
        async for message in ws:
            await ws.send(message)

    async def on_echo_exit(self, ws: Any, parts: Any) -> None:
        """The same, until it is told goodbye."""
        async for message in ws:
            if message == "Goodbye":
                return await ws.close(1000)
            await ws.send(message)
        return None

    async def on_protocol(self, ws: Any, parts: Any) -> None:
        """Says what was agreed."""
        await ws.send(ws.subprotocol or "none")

    async def on_echo_query(self, ws: Any, parts: Any) -> None:
        """Says the query."""
        await ws.send(parts.query)

    async def on_header(self, ws: Any, parts: Any) -> None:
        """Says a field of the request."""
        await ws.send(ws.request.headers.get(parts.query, "none"))

    async def on_empty_message(self, ws: Any, parts: Any) -> None:
        """Wants nothing, and says whether it got that."""
        await ws.send("pass" if await ws.recv() == "" else "fail")

    async def on_remote_close(self, ws: Any, parts: Any) -> None:
        """Closes as the query says."""
        query = parse_qs(parts.query)
        if "wait" in query:
            await self.go.wait()
        await ws.close(int(query["code"][0]), query.get("reason", [""])[0])

    async def on_burst(self, ws: Any, parts: Any) -> None:
        """Says three things and closes."""
        for number in range(3):
            await ws.send(str(number))
        await ws.close(int(parts.query or 1000))

    async def on_receive(self, ws: Any, parts: Any) -> None:
        """Reads only when it may, and says how large each message is."""
        await self.go.wait()
        async for message in ws:
            await ws.send(str(len(message)))

    async def on_echo_later(self, ws: Any, parts: Any) -> None:
        """Says everything again, when it may."""
        await self.go.wait()
        await self.on_echo(ws, parts)

    async def on_slow(self, ws: Any, parts: Any) -> None:
        """Says when each message was read, a while after the one before."""
        async for message in ws:
            await asyncio.sleep(2 * MS)
            await ws.send(str(len(message)))


def choose(ws: Any, offered: Any) -> Any:
    """Agrees to the first subprotocol."""
    return offered[0] if offered else None


@contextlib.asynccontextmanager
async def ours(**options: Any) -> AsyncIterator[Site]:
    """Our server."""
    site = Site("")
    async with everwire.serve(
        site.serve,
        "127.0.0.1",
        0,
        select_subprotocol=choose,
        max_size=None,
        limits=everwire.Limits(output=2**26),
        **options,
    ) as server:
        site.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield site
        finally:
            site.go.set()


@contextlib.asynccontextmanager
async def theirs(**options: Any) -> AsyncIterator[Site]:
    """The server of ``websockets``."""
    site = Site("")
    async with websockets.asyncio.server.serve(
        # It does not see a client hang up while messages wait that its handler does not read any more.
        site.serve,
        "127.0.0.1",
        0,
        select_subprotocol=choose,
        max_size=None,
        close_timeout=200 * MS,
        **options,
    ) as server:
        site.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield site
        finally:
            site.go.set()


@pytest.fixture(params=[ours, theirs], ids=["everwire", "websockets"])
async def site(request: pytest.FixtureRequest) -> AsyncIterator[Site]:
    """Either server."""
    async with request.param() as site:
        yield site


@pytest.fixture
async def home() -> AsyncIterator[Site]:
    """Our server, for what does not depend on who serves."""
    async with ours() as site:
        yield site


@pytest.fixture
async def secure() -> AsyncIterator[Site]:
    """Our server under TLS."""
    async with ours(ssl=everwire.TLS(identity().certificate, identity().key)) as site:
        site.url = site.url.replace("ws:", "wss:")
        site.options = {"ssl": everwire.TLS(trust=authority().pem)}
        yield site


class Heard:
    """Listens to everything that happens to a WebSocket, with the state that it had then."""

    def __init__(self, ws: WebSocket) -> None:
        self.events: list[Event] = []
        self.states: list[int] = []
        self._ws = ws
        for kind in ("open", "message", "error", "close"):
            ws.add_event_listener(kind, self._hear)

    def _hear(self, event: Event) -> None:
        self.events.append(event)
        self.states.append(int(self._ws.ready_state))

    @property
    def types(self) -> list[str]:
        """What was heard, in order."""
        return [event.type for event in self.events]

    @property
    def data(self) -> list[Any]:
        """The messages."""
        return [event.data for event in self.events if event.type == "message"]  # type: ignore[attr-defined]


@pytest.fixture
def heard() -> type[Heard]:
    """Makes listeners to everything."""
    return Heard


async def event(ws: WebSocket, kind: str) -> Any:
    """Wait for the next event of a type."""
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    ws.add_event_listener(kind, future.set_result, once=True)
    return await asyncio.wait_for(future, 5000 * MS)


@pytest.fixture
def until() -> Callable[[WebSocket, str], Awaitable[Any]]:
    """Waits for an event."""
    return event


async def standing_still(count: Callable[[], int]) -> int:
    """Wait until a growing number has stopped to grow."""
    loop = asyncio.get_running_loop()
    last, since = count(), loop.time()
    while loop.time() - since < 200 * MS:
        await asyncio.sleep(10 * MS)
        if count() != last:
            last, since = count(), loop.time()
    return last


@pytest.fixture
def standstill() -> Callable[[Callable[[], int]], Awaitable[int]]:
    """Waits until a number grows no more."""
    return standing_still
