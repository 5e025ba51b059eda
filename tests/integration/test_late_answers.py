"""Callbacks that answer a message behind which the connection has ended already."""

from __future__ import annotations

import pytest
from peer import frames
from peer.client import RawClient

import everwire


def echo(connection):
    connection.on_message = everwire.Connection.send_nowait


@pytest.mark.parametrize(
    ("end", "code"),
    [(frames.close(1000), 1000), (frames.encode(frames.TEXT, b"x", rsv=2), 1002)],
    ids=["close", "violation"],
)
async def test_an_answer_that_comes_too_late_is_nobodys_error(line, complaints, end, code):
    async with line.serve(echo) as server:
        async with await RawClient.open(server.sockets[0].getsockname()) as client:
            client.write(frames.encode(frames.TEXT, b"one") + frames.encode(frames.TEXT, b"two") + end)
            closing = await client.closed()
            assert closing.code == code
    assert complaints == []


async def test_another_connection_that_is_closed_is_the_callbacks_error(line, complaints):
    async with line.serve(echo) as server:
        async with line.connect(server) as gone, line.connect(server) as client:
            (there, *_) = server.connections
            here = next(connection for connection in server.connections if connection is not there)
            first, second = (gone, client) if there.remote_address == gone.local_address else (client, gone)
            await first.close()
            await there.wait_closed()
            here.on_message = lambda connection, message: there.send_nowait(message)
            await second.send("tell the other")
            await second.wait_closed()
            assert second.close_code == 1011
    (complaint,) = complaints
    assert isinstance(complaint["exception"], everwire.ConnectionClosed)
