"""The ways to echo that are tested; together they use every way to receive, and both kinds of compression."""

import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any

from everwire import Connection, ConnectionClosed, Deflate, Limits

_MIB = 1024 * 1024

# The suite sends messages of up to 16 MiB, and waits for each of them to come back.
_LIMITS = Limits(message=64 * _MIB, queue_bytes=64 * _MIB, output=128 * _MIB)


@dataclasses.dataclass(frozen=True)
class Style:
    """One way to echo: a handler, and what ``serve`` or ``connect`` is called with."""

    handler: Callable[[Connection], Awaitable[None]]
    options: dict[str, Any]


async def by_callback(connection: Connection) -> None:
    """Echo from a callback."""
    connection.on_message = Connection.send_nowait
    await connection.wait_closed()


async def by_iteration(connection: Connection) -> None:
    """Echo with ``async for``."""
    async for message in connection:
        await connection.send(message)


async def by_streaming(connection: Connection) -> None:
    """Echo each part of a message as a fragment, before the next part is there."""
    try:
        while True:
            await connection.send(connection.recv_streaming())
    except ConnectionClosed:
        pass


def _options(takeover: bool) -> dict[str, Any]:
    deflate = Deflate(server_no_context_takeover=not takeover, client_no_context_takeover=not takeover, threshold=0)
    return {"limits": _LIMITS, "compression": deflate, "open_timeout": 60, "close_timeout": 60, "ping_interval": None}


STYLES = {
    "callback": Style(by_callback, _options(takeover=False)),
    "iteration": Style(by_iteration, _options(takeover=True)),
    "streaming": Style(by_streaming, _options(takeover=False)),
}
