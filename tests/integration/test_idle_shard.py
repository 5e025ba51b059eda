"""A loop on which nothing lives for a while, and then something again."""

from __future__ import annotations

import asyncio

import pytest
from peer.timing import MS

import everwire


async def hold(connection: everwire.ServerConnection) -> None:
    await connection.wait_closed()


async def test_time_without_connections_is_not_taken_for_a_blocked_loop(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        async with everwire.serve(hold, "127.0.0.1", 0, ping_interval=100 * MS) as server:
            port = server.sockets[0].getsockname()[1]
            async with everwire.connect(f"ws://127.0.0.1:{port}/", ping_interval=100 * MS) as connection:
                await connection.send("hello")
        # Deadlines of what is gone pass meanwhile; from a second on a late turn is warned about.
        await asyncio.sleep(1300 * MS)
    assert "blocked" not in caplog.text
