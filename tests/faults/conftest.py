"""Real servers and clients with a fault between them, on both loops, plain and under TLS."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest
from peer.certificates import authority, identity
from peer.loops import LOOPS
from peer.proxy import Proxy

import everwire


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return LOOPS


@dataclasses.dataclass
class Link:
    """Both ends of a connection, and what is between them."""

    client: everwire.ClientConnection
    server: everwire.ServerConnection
    proxy: Proxy


@dataclasses.dataclass(frozen=True)
class Wire:
    """How the two ends of a test are connected."""

    secure: bool

    def serve(self, handler: Any, **options: Any) -> everwire.serve:
        """Serve on a free port of loopback."""
        tls = everwire.TLS(identity().certificate, identity().key) if self.secure else None
        return everwire.serve(handler, "127.0.0.1", 0, ssl=tls, **options)

    def connect(self, port: int, **options: Any) -> everwire.connect:
        """Connect to a port of loopback."""
        tls = everwire.TLS(trust=authority().pem) if self.secure else None
        scheme = "wss" if self.secure else "ws"
        return everwire.connect(f"{scheme}://127.0.0.1:{port}/", ssl=tls, **options)

    def reconnecting(self, port: int, **options: Any) -> everwire.ReconnectingWebSocket:
        """A client that comes back to a port of loopback."""
        tls = everwire.TLS(trust=authority().pem) if self.secure else None
        scheme = "wss" if self.secure else "ws"
        return everwire.ReconnectingWebSocket(f"{scheme}://127.0.0.1:{port}/", ssl=tls, **options)

    @contextlib.asynccontextmanager
    async def link(
        self, *, serve: dict[str, Any] | None = None, delay: float = 0.0, piece: int | None = None, **options: Any
    ) -> AsyncIterator[Link]:
        """Both ends of one connection through a proxy; ``serve`` holds the options of the server."""
        arrived: asyncio.Future[everwire.ServerConnection] = asyncio.get_running_loop().create_future()
        done = asyncio.Event()

        async def handler(connection: everwire.ServerConnection) -> None:
            arrived.set_result(connection)
            # Not for the connection's end: who only waits for that need not take messages, and is read ahead.
            await done.wait()

        async with self.serve(handler, **(serve or {})) as server:
            async with Proxy(server.sockets[0].getsockname(), delay=delay, piece=piece) as proxy:
                client = await self.connect(proxy.port, **options)
                try:
                    yield Link(client, await arrived, proxy)
                finally:
                    done.set()
                client.abort()
                arrived.result().abort()


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def wire(request: pytest.FixtureRequest) -> Wire:
    """A connection of either kind."""
    return Wire(request.param)


@pytest.fixture
def line() -> Wire:
    """A plain connection, for what does not depend on the bytes' way."""
    return Wire(False)
