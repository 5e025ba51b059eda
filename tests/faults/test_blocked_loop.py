"""An event loop that is kept from its work: by a call that does not yield, a thread that computes, a flood, an exception."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import statistics
import threading
import time

import pytest
import uvloop
from peer import frames
from peer.client import RawClient, request
from peer.loops import LOOPS
from peer.timing import MS, eventually

import everwire


async def echo(connection):
    async for message in connection:
        await connection.send(message)


async def test_a_loop_that_was_blocked_loses_nobody_and_says_so_once(wire, caplog):
    beats = {"ping_interval": 100 * MS, "ping_timeout": 300 * MS, "idle_timeout": 2}
    async with wire.serve(echo, **beats) as server, contextlib.AsyncExitStack() as stack:
        port = server.sockets[0].getsockname()[1]
        clients = [await stack.enter_async_context(wire.connect(port, **beats)) for _ in range(10)]
        await eventually(lambda: all(connection.latency for connection in server.connections))
        # The point is a loop that stands still.
        time.sleep(3)  # noqa: ASYNC251
        for client in clients:
            await client.send("still there?")
        for client in clients:
            assert await client.recv() == "still there?"
        await asyncio.sleep(500 * MS)
        assert len(server.connections) == 10
        assert {client.state for client in clients} == {everwire.State.OPEN}
        warnings = [record for record in caplog.records if "event loop was blocked" in record.message]
        assert [record.levelname for record in warnings] == ["WARNING"]


@pytest.mark.parametrize("style", ["iteration", "callback"])
async def test_echo_goes_on_beside_a_thread_that_computes(wire, style):
    def calling_back(connection):
        connection.on_message = everwire.ServerConnection.send_nowait

    stop = threading.Event()

    def compute() -> None:
        while not stop.is_set():
            sum(range(1000))

    async with wire.serve(echo if style == "iteration" else calling_back) as server:
        async with wire.connect(server.sockets[0].getsockname()[1]) as client:
            thread = threading.Thread(target=compute)
            thread.start()
            try:
                # Each wait of the loop costs up to the interpreter's switch interval of 5 ms; nothing else may.
                began = time.monotonic()
                for _ in range(50):
                    await client.send("x")
                    assert await client.recv() == "x"
                assert time.monotonic() - began < 5000 * MS
            finally:
                stop.set()
                thread.join()


async def test_a_flood_keeps_neither_the_loop_nor_newcomers_waiting(line):
    def handler(connection):
        connection.on_message = lambda connection, message: None

    async with line.serve(handler, compression=None) as server:
        where = server.sockets[0].getsockname()
        stop = threading.Event()
        flooders = [threading.Thread(target=_flood, args=(where, stop)) for _ in range(2)]
        for flooder in flooders:
            flooder.start()
        try:
            await eventually(lambda: server._shard.metrics()["received"] > 100_000, within=20_000 * MS)
            lags = []
            for _ in range(100):
                began = time.thread_time()
                await asyncio.sleep(0.001)
                lags.append(time.thread_time() - began)
            # A turn takes a millisecond, an iteration of the loop one turn. What others do with the CPU meanwhile is not counted.
            assert statistics.median(lags) < 20 * MS
            for _ in range(10):
                async with await asyncio.wait_for(RawClient.open(where), 5000 * MS) as client:
                    client.send(frames.PING, b"?")
                    assert (await client.frame()).opcode == frames.PONG
        finally:
            stop.set()
            for flooder in flooders:
                await asyncio.to_thread(flooder.join)


def _flood(where, stop):
    """Send small messages as fast as the server takes them."""
    chunk = frames.encode(frames.TEXT, b"x" * 4) * 10_000
    with socket.create_connection(where) as flooding:
        flooding.sendall(request("/"))
        flooding.recv(4096)
        while not stop.is_set():
            flooding.sendall(chunk)


@pytest.mark.parametrize("make_loop", LOOPS.values(), ids=LOOPS)
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_program_comes_out_of_the_loop_and_no_message_is_lost(make_loop, kind):
    received = []

    def on_message(connection, message):
        received.append(message)
        if message == "3":
            raise kind

    def handler(connection):
        connection.on_message = on_message

    async def begin():
        server = await everwire.serve(handler, "127.0.0.1", 0)
        client = await everwire.connect(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
        return server, client

    async def go_on():
        await eventually(lambda: len(received) == 10)
        await client.close()
        server.close()
        await server.wait_closed()

    loop = make_loop()
    try:
        server, client = loop.run_until_complete(begin())
        loop.call_soon(lambda: [client.send_nowait(str(number)) for number in range(10)])
        with pytest.raises(kind):
            loop.run_forever()
        # uvloop finishes its iteration before it stops.
        assert received == ["0", "1", "2", "3"] or isinstance(loop, uvloop.Loop)
        loop.run_until_complete(go_on())
        assert received == [str(number) for number in range(10)]
        assert client.close_code == 1000
    finally:
        loop.close()
