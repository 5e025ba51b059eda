"""The matrix: {plain, TLS in the core, TLS by ssl.SSLContext} x {deflate on, off} x {asyncio, uvloop}.

A test that asks for ``wire`` runs in every cell; one that does not, on both loops.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from peer.certificates import authority, client_context, identity, server_context
from peer.loops import LOOPS
from peer.service import Service

import everwire


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    loops: Mapping[str, Callable[[], asyncio.AbstractEventLoop]] = getattr(
        item.getparent(pytest.Module).obj, "LOOPS", LOOPS
    )
    return loops


@dataclasses.dataclass(frozen=True)
class Wire:
    """How the two ends of a test are connected."""

    tls: str
    compression: str | None
    folder: Path

    def serve(self, handler: Any, **options: Any) -> everwire.serve:
        """Serve on a free port of loopback."""
        options = {"compression": self.compression, "ssl": self._for_server(), **options}
        return everwire.serve(handler, "127.0.0.1", 0, **options)

    def url(self, server: everwire.Server, target: str = "/") -> str:
        """Where a server is."""
        scheme = "ws" if self.tls == "plain" else "wss"
        return f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}{target}"

    def connect(self, server: everwire.Server, target: str = "/", **options: Any) -> everwire.connect:
        """Connect to a server."""
        options = {"compression": self.compression, "ssl": self._for_client(), **options}
        return everwire.connect(self.url(server, target), **options)

    @contextlib.asynccontextmanager
    async def pair(
        self, *, serve: dict[str, Any] | None = None, **options: Any
    ) -> AsyncIterator[tuple[everwire.ClientConnection, everwire.ServerConnection]]:
        """Both ends of one connection; ``serve`` holds the options of the server."""
        arrived: asyncio.Future[everwire.ServerConnection] = asyncio.get_running_loop().create_future()

        done = asyncio.Event()

        async def handler(connection: everwire.ServerConnection) -> None:
            arrived.set_result(connection)
            # Not for the connection's end: who only waits for that need not take messages, and is read ahead.
            await done.wait()

        target = options.pop("target", "/")
        async with self.serve(handler, **(serve or {})) as server, self.connect(server, target, **options) as client:
            try:
                yield client, await arrived
            finally:
                done.set()
            # A test may leave messages behind that nobody receives: a closing handshake would wait for its deadline.
            client.abort()

    def _for_server(self) -> Any:
        match self.tls:
            case "plain":
                return None
            case "core":
                return everwire.TLS(identity().certificate, identity().key)
            case _:
                return server_context(self.folder)

    def _for_client(self) -> Any:
        match self.tls:
            case "plain":
                return None
            case "core":
                return everwire.TLS(trust=authority().pem)
            case _:
                return client_context()


@pytest.fixture(params=["plain", "core", "outside"])
def tls(request: pytest.FixtureRequest) -> str:
    """How TLS is done, if at all."""
    return str(request.param)


@pytest.fixture(params=["deflate", None], ids=["deflate", "identity"])
def wire(request: pytest.FixtureRequest, tls: str, tmp_path: Path) -> Wire:
    """A cell of the matrix."""
    return Wire(tls, request.param, tmp_path)


@pytest.fixture
def line(tmp_path: Path) -> Wire:
    """The plain cell, for what does not depend on the bytes' way."""
    return Wire("plain", "deflate", tmp_path)


@pytest.fixture
async def complaints() -> list[dict[str, Any]]:
    """What the loop's exception handler is told."""
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    return told


async def echo(connection: everwire.ServerConnection) -> None:
    """A handler."""
    async for message in connection:
        await connection.send(message)


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    """A server that clients come back to, and that has never two connections at once."""
    service = Service()
    await service.start()
    yield service
    assert service.most <= 1, "there were two connections at once"
    await service.stop()
