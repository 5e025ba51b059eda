"""Our server, behaving as the servers in servers.py do, each path in another style."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import everwire

from .messages import cut

__all__ = ["Ours", "ours"]


class Ours:
    """A server of ours that is running.

    Attributes:
        server: it.
        closed: code and reason with which each connection was closed, as it saw that.
        seen: every connection, while its handler runs.
    """

    def __init__(self) -> None:
        self.server: everwire.Server | None = None
        self.closed: asyncio.Queue[tuple[int, str]] = asyncio.Queue()
        self.seen: asyncio.Queue[everwire.ServerConnection] = asyncio.Queue()

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self.server is not None
        port: int = self.server.sockets[0].getsockname()[1]
        return port

    def url(self, path: str, scheme: str = "ws") -> str:
        """The address of a behavior."""
        return f"{scheme}://127.0.0.1:{self.port}{path}"

    async def handle(self, connection: everwire.ServerConnection) -> None:
        """Behave as the path says."""
        assert connection.request is not None
        self.seen.put_nowait(connection)
        with contextlib.suppress(everwire.ConnectionClosed):
            await BEHAVIORS[connection.request.path](connection)
        await connection.wait_closed()
        assert connection.close_code is not None
        self.closed.put_nowait((connection.close_code, connection.close_reason or ""))


async def _echo(connection: everwire.ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


async def _call_back(connection: everwire.ServerConnection) -> None:
    connection.on_message = everwire.Connection.send_nowait
    await connection.wait_closed()


async def _stream(connection: everwire.ServerConnection) -> None:
    while True:
        await connection.send(connection.recv_streaming())


async def _ping(connection: everwire.ServerConnection) -> None:
    async for message in connection:
        await (await connection.ping(message))
        await connection.send(f"pong {message!s}")


async def _close(connection: everwire.ServerConnection) -> None:
    code, _, reason = (await connection.recv(decode=True)).partition(" ")
    await connection.close(int(code), reason)


async def _fragments(connection: everwire.ServerConnection) -> None:
    async for message in connection:
        data = message.encode() if isinstance(message, str) else message
        await connection.send(cut(data, 3), text=isinstance(message, str))


BEHAVIORS = {
    "/echo": _echo,
    "/callback": _call_back,
    "/stream": _stream,
    "/ping": _ping,
    "/close": _close,
    "/fragments": _fragments,
}


@contextlib.asynccontextmanager
async def ours(*, unix: str | None = None, **options: Any) -> AsyncIterator[Ours]:
    """Serve on a free port of loopback, or on a Unix socket."""
    served = Ours()
    options = {"subprotocols": ["favorite", "other"], **options}
    if unix is None:
        serving = everwire.serve(served.handle, "127.0.0.1", 0, **options)
    else:
        serving = everwire.unix_serve(served.handle, unix, **options)
    async with serving as served.server:
        yield served
