"""A server of ours for clients that come back, and such clients."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import Any

import everwire
from everwire import LinkStatus, ReconnectingWebSocket

from .timing import MS, eventually

__all__ = ["Service", "client", "never", "reached", "soon"]


class Service:
    """A server on a port of its own, which can be stopped and started again, and knows who was connected.

    Attributes:
        connections: every connection that there was.
        most: how many of them there were at once.
        received: every message of every connection.
        requests: every request, refused ones included.
        greeting: what it says to everybody first.
        refusals: status and fields of the next answers; then everybody gets in.
        tasks: what tests have to keep until the end.
    """

    def __init__(self) -> None:
        self.connections: list[everwire.ServerConnection] = []
        self.received: list[str | bytes] = []
        self.requests: list[everwire.Request] = []
        self.greeting: str | None = None
        self.refusals: list[tuple[int, dict[str, str]]] = []
        self.most = self._now = 0
        self.tasks: set[asyncio.Task[None]] = set()
        self._port = 0
        self._server: everwire.Server | None = None

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._port

    @property
    def url(self) -> str:
        """Where to connect to."""
        return f"ws://127.0.0.1:{self._port}/"

    @property
    def last(self) -> everwire.ServerConnection:
        """The newest connection."""
        return self.connections[-1]

    async def start(self) -> None:
        """Listen: on a free port the first time, then on the same."""
        self._server = await everwire.serve(self.handle, "127.0.0.1", self._port, process_request=self._judge)
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close every connection with 1001, and listen no more."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    async def connected(self, count: int) -> everwire.ServerConnection:
        """Wait for a connection, by its number from 1."""
        await eventually(lambda: len(self.connections) >= count)
        return self.connections[count - 1]

    def _judge(self, ws: everwire.ServerConnection, request: everwire.Request) -> everwire.Response | None:
        if request.path == "/readyz":  # what load balancers ask
            return ws.respond(200, "ready\n")
        self.requests.append(request)
        if not self.refusals:
            return None
        status, headers = self.refusals.pop(0)
        response = ws.respond(status, "no\n")
        response.headers.update(headers)
        return response

    async def handle(self, ws: everwire.ServerConnection) -> None:
        """What happens to a connection."""
        self.connections.append(ws)
        self._now += 1
        self.most = max(self.most, self._now)
        try:
            if self.greeting is not None:
                await ws.send(self.greeting)
            with contextlib.suppress(everwire.ConnectionClosed):
                async for message in ws:
                    self.received.append(message)
            await ws.wait_closed()
        finally:
            self._now -= 1


def soon() -> itertools.repeat[float]:
    """Delays for tests."""
    return itertools.repeat(1 * MS)


def never() -> itertools.repeat[float]:
    """Delays that nobody should wait for."""
    return itertools.repeat(1000.0)


def client(service: Service, **options: Any) -> ReconnectingWebSocket:
    """A client of it that comes back soon."""
    return ReconnectingWebSocket(service.url, **{"reconnect_delays": soon, **options})


async def reached(ws: ReconnectingWebSocket, state: str) -> LinkStatus:
    """Wait for a state."""
    async with asyncio.timeout(5000 * MS):
        async for status in ws.states():
            if status.state == state:
                return status
    raise AssertionError(f"it never was {state}")
