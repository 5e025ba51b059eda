"""A server with tight limits, and clients that come from wherever they say."""

from __future__ import annotations

import contextlib
import dataclasses
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from peer.certificates import client_context, identity, server_context
from peer.client import RawClient, request
from peer.timing import MS

import everwire


@dataclasses.dataclass(frozen=True)
class Served:
    """A server, the connections that it made, the newest last, and clients, which leave with it."""

    server: everwire.Server
    connections: list[everwire.ServerConnection]
    clients: contextlib.AsyncExitStack
    tls: ssl.SSLContext | None

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        host, port = self.server.sockets[0].getsockname()[:2]
        return host, port

    async def connect(self, **options: Any) -> RawClient:
        """A client that has said nothing yet."""
        options = {"tls": self.tls, **options}
        return await self.clients.enter_async_context(await RawClient.connect(self.address, **options))

    async def ask(self, *fields: str, client: str | None = None) -> RawClient:
        """A client that has sent its handshake, from an address that the proxy names."""
        asking = await self.connect()
        forwarded = () if client is None else (f"X-Forwarded-For: {client}",)
        asking.write(request("/", *fields, *forwarded))
        return asking

    async def open(self, *fields: str, **options: Any) -> RawClient:
        """A client whose handshake is done."""
        options = {"tls": self.tls, **options}
        return await self.clients.enter_async_context(await RawClient.open(self.address, *fields, **options))

    async def status(self, *fields: str, client: str | None = None) -> int:
        """What a handshake is answered; the connection is not kept."""
        async with await self.ask(*fields, client=client) as asking:
            return (await asking.head()).status


async def idle(connection: everwire.ServerConnection) -> None:
    """A handler that takes nothing."""
    await connection.wait_closed()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    # The same limits hold on every way. What a test knows of the buffers of sockets is not true of TLS, which has some of its own.
    if "way" in metafunc.fixturenames:
        measures = metafunc.definition.get_closest_marker("measures_sockets")
        metafunc.parametrize("way", ["plain"] if measures else ["plain", "core", "context"], indirect=True)


@pytest.fixture
def way(request: pytest.FixtureRequest) -> str:
    """How the bytes come: without TLS, with that of the core, or with an ``ssl.SSLContext``."""
    return str(request.param)


@pytest.fixture
def serving(way: str, tmp_path: Path) -> Callable[..., contextlib.AbstractAsyncContextManager[Served]]:
    """Serves with these limits; a handler that takes nothing by default."""
    tls = None if way == "plain" else client_context()
    own = {
        "plain": lambda: None,
        "core": lambda: everwire.TLS(identity().certificate, identity().key),
        "context": lambda: server_context(tmp_path),
    }[way]()

    @contextlib.asynccontextmanager
    async def serve(
        handler: Any = idle, *, limits: dict[str, int] | None = None, **options: Any
    ) -> AsyncIterator[Served]:
        connections: list[everwire.ServerConnection] = []

        async def keeping(connection: everwire.ServerConnection) -> None:
            connections.append(connection)
            await handler(connection)

        chosen = everwire.Limits(**(limits or {}))
        options = {"close_timeout": 200 * MS, "ssl": own, **options}
        async with (
            everwire.serve(keeping, "127.0.0.1", 0, limits=chosen, **options) as server,
            contextlib.AsyncExitStack() as clients,
        ):
            yield Served(server, connections, clients, tls)

    return serve
