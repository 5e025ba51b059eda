"""A server of ours at the mercy of raw clients, and two paces at which they speak."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from peer.client import RawClient

import everwire

Say = Callable[[RawClient, bytes], Awaitable[None]]


async def echo(connection: everwire.ServerConnection) -> None:
    """A handler."""
    async for message in connection:
        await connection.send(message)


@contextlib.asynccontextmanager
async def _serving(handler: Any = echo, **options: Any) -> AsyncIterator[tuple[str, int]]:
    async with everwire.serve(handler, "127.0.0.1", 0, **options) as server:
        host, port = server.sockets[0].getsockname()[:2]
        yield host, port


@pytest.fixture
def serving() -> Callable[..., contextlib.AbstractAsyncContextManager[tuple[str, int]]]:
    """Serves; gives the address."""
    return _serving


async def _say_at_once(client: RawClient, data: bytes) -> None:
    client.write(data)


async def _say_byte_by_byte(client: RawClient, data: bytes) -> None:
    # The server shares this loop: it reads each byte before the next is sent.
    for byte in data:
        client.write(bytes([byte]))
        await asyncio.sleep(0)
        await asyncio.sleep(0)


@pytest.fixture(params=[_say_at_once, _say_byte_by_byte], ids=["whole", "bytes"])
def say(request: pytest.FixtureRequest) -> Say:
    """Says bytes in one segment, or each in its own."""
    return request.param
