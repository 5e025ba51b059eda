"""``async for websocket in connect(...)`` waits only after failures, and goes on at once after a connection, as it does there."""

from __future__ import annotations

import asyncio
import itertools

import pytest
import websockets.client

from everwire.compat.websockets import client
from everwire.compat.websockets.asyncio.client import connect
from everwire.compat.websockets.asyncio.server import serve


async def test_a_connection_that_is_lost_is_followed_by_the_next_at_once():
    async def handler(websocket):
        websocket.abort()

    async with serve(handler, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        connections = 0
        async with asyncio.timeout(10):
            async for websocket in connect(
                f"ws://127.0.0.1:{port}/", reconnect_delays=lambda: itertools.repeat(1000.0)
            ):
                await websocket.wait_closed()
                connections += 1
                if connections == 5:
                    break


def test_delays_are_theirs():
    arguments = {"initial_delay": 0, "min_delay": 2, "max_delay": 30, "factor": 3}
    ours, theirs = (list(itertools.islice(module.backoff(**arguments), 8)) for module in (client, websockets.client))
    assert ours == theirs == [0, 2, 6, 18, 30, 30, 30, 30]


@pytest.mark.parametrize("error", [OSError(), TimeoutError(), ValueError()], ids=repr)
def test_what_is_final_is_what_is_final_there(error):
    assert client.process_exception(error) is websockets.client.process_exception(error)
