"""asyncio's debug mode: nothing is slow, nothing is called from the wrong thread, nothing is forgotten."""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import time

import pytest
from peer.timing import MS, eventually

import everwire

NOISE = bytes(range(256)) * 1000


async def echo(connection):
    async for message in connection:
        await connection.send(message)


def echo_by_callback(connection):
    connection.on_message = everwire.ServerConnection.send_nowait


@pytest.fixture
async def debug(caplog):
    """Debug mode; in the end asyncio must have had nothing to say."""
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    # A busy machine stops anybody for a while: a turn takes a millisecond, the default is a hundred.
    loop.slow_callback_duration = 800 * MS
    told = []
    loop.set_exception_handler(lambda loop, context: told.append(context))
    yield
    # What follows is slow by itself.
    loop.slow_callback_duration = math.inf
    gc.collect()
    await asyncio.sleep(0)
    assert told == []
    said = [record for record in caplog.records if record.name == "asyncio" and record.levelno >= logging.WARNING]
    assert [record.getMessage() for record in said] == []


@pytest.mark.usefixtures("debug")
@pytest.mark.parametrize("handler", [echo, echo_by_callback])
async def test_messages_of_every_kind(wire, handler):
    async with wire.serve(handler) as server, wire.connect(server) as client:
        for message in ("text", b"binary", "", NOISE, "é" * 50_000):
            await client.send(message)
            assert await client.recv() == message
        for number in range(500):
            client.send_nowait(str(number))
        assert [await client.recv() for _ in range(500)] == [str(number) for number in range(500)]


@pytest.mark.usefixtures("debug")
async def test_everything_that_waits(wire):
    async with wire.pair(serve={"max_queue": 1}) as (client, server):
        assert await (await client.ping()) > 0
        receiving = asyncio.ensure_future(client.recv())
        await asyncio.sleep(0)
        receiving.cancel()
        await asyncio.gather(receiving, return_exceptions=True)
        await server.send(["in ", "parts"])
        assert [part async for part in client.recv_streaming()] != []
        sending = asyncio.gather(*(client.send(NOISE) for _ in range(8)))
        for _ in range(8):
            assert await server.recv() == NOISE
        await sending
        everwire.broadcast([client, server], "to both")
        assert [await client.recv(), await server.recv()] == ["to both", "to both"]
        waiting = asyncio.ensure_future(server.wait_closed())
        await client.close(4000)
        await waiting


@pytest.mark.usefixtures("debug")
async def test_hooks_heartbeats_and_ends(wire):
    async def process_request(connection, request):
        await asyncio.sleep(0)
        return connection.respond(403, "no\n") if request.path == "/no" else None

    async with wire.serve(echo, process_request=process_request, ping_interval=20 * MS) as server:
        with pytest.raises(everwire.HandshakeFailed):
            await wire.connect(server, "/no")
        client = await wire.connect(server, ping_interval=20 * MS)
        await eventually(lambda: client.latency)
        client.abort()
        await client.wait_closed()
        await eventually(lambda: not server.connections)


async def test_a_callback_that_is_slow_is_named(line, caplog):
    # What blocks the loop must be found, though it runs within a turn of the engine.
    loop = asyncio.get_running_loop()
    if type(loop).__module__ == "uvloop":
        pytest.skip("uvloop does not look for slow callbacks")
    loop.set_debug(True)
    loop.slow_callback_duration = 50 * MS

    def on_message(connection, message):
        # The point is a callback that blocks.
        time.sleep(100 * MS)
        connection.send_nowait(message)

    async with line.pair() as (client, server):
        server.on_message = on_message
        await client.send("x")
        assert await client.recv() == "x"
    assert any("took" in record.getMessage() for record in caplog.records if record.name == "asyncio")


@pytest.mark.usefixtures("debug")
async def test_a_call_from_another_thread_is_found_by_us_not_by_asyncio(line):
    async with line.pair() as (client, server):
        for call in (lambda: client.send_nowait("x"), server.server.close, client.abort):
            with pytest.raises(everwire.UsageError):
                await asyncio.to_thread(call)
        await client.send("goes on")
        assert await server.recv() == "goes on"
