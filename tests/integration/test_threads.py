"""Threads: loops in several at once keep out of each other's way, and who calls from the wrong one is told so."""

from __future__ import annotations

import asyncio
import threading
import weakref

import pytest
from peer.loops import LOOPS
from peer.timing import MS, eventually

import everwire
from everwire import _core


async def echo(connection):
    async for message in connection:
        await connection.send(message)


def echo_by_callback(connection):
    connection.on_message = everwire.ServerConnection.send_nowait


def in_a_thread(function):
    """What a call returns or raises in another thread; the loop of this one stands still meanwhile."""
    outcome = []

    def run() -> None:
        try:
            outcome.append(function())
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return outcome[0]


@pytest.mark.parametrize("make_loop", LOOPS.values(), ids=LOOPS)
@pytest.mark.parametrize("handler", [echo, echo_by_callback])
def test_loops_in_threads_work_side_by_side(make_loop, handler):
    # Each thread serves; each connects to the server of the next one.
    count = 3
    ports: list[int] = [0] * count
    everybody_serves, everybody_is_done = threading.Barrier(count), threading.Barrier(count)
    echoes: list[int] = [0] * count

    async def work(own: int) -> None:
        loop = asyncio.get_running_loop()
        async with everwire.serve(handler, "127.0.0.1", 0) as server:
            ports[own] = server.sockets[0].getsockname()[1]
            await loop.run_in_executor(None, everybody_serves.wait, 10_000 * MS)
            async with everwire.connect(f"ws://127.0.0.1:{ports[(own + 1) % count]}/") as client:
                for number in range(300):
                    message = f"{own} {number}" if number % 2 else f"{own} {number}".encode() * 1000
                    await client.send(message)
                    assert await client.recv() == message
                    echoes[own] += 1
            await loop.run_in_executor(None, everybody_is_done.wait, 10_000 * MS)

    def run(own: int) -> None:
        with asyncio.Runner(loop_factory=make_loop) as runner:
            runner.run(work(own))

    threads = [threading.Thread(target=run, args=(own,)) for own in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert echoes == [300] * count


CALLS = {
    "send_nowait": lambda connection: connection.send_nowait("x"),
    "send": lambda connection: connection.send("x").send(None),
    "send of parts": lambda connection: connection.send(["x"]).send(None),
    "recv": lambda connection: connection.recv().send(None),
    "iteration": lambda connection: anext(connection).send(None),
    "pause": lambda connection: connection.pause(),
    "resume": lambda connection: connection.resume(),
    "abort": lambda connection: connection.abort(),
    "broadcast": lambda connection: everwire.broadcast([connection], "x"),
    "write_buffer_size": lambda connection: connection.write_buffer_size,
    "latency": lambda connection: connection.latency,
}
"""What does not need a loop in the thread that calls."""

COROUTINES = {
    "send": lambda connection: connection.send("x"),
    "recv": lambda connection: connection.recv(),
    "ping": lambda connection: connection.ping(),
    "pong": lambda connection: connection.pong(),
    "close": lambda connection: connection.close(),
    "wait_closed": lambda connection: connection.wait_closed(),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_a_call_from_another_thread_is_a_mistake_and_does_nothing(line, call):
    async with line.pair() as (client, server):
        error = in_a_thread(lambda: call(client))
        assert isinstance(error, everwire.UsageError)
        await client.send("goes on")
        assert await server.recv() == "goes on"
        everwire.broadcast([server], "both ways")
        assert await client.recv() == "both ways"


@pytest.mark.parametrize("call", COROUTINES.values(), ids=COROUTINES)
async def test_a_coroutine_on_the_loop_of_another_thread_is_a_mistake(line, call):
    async with line.pair() as (client, server):

        async def run():
            await call(client)

        error = in_a_thread(lambda: asyncio.run(run()))
        assert isinstance(error, everwire.UsageError)
        await client.send("goes on")
        assert await server.recv() == "goes on"


TAKING = {
    "recv": lambda connection: connection.recv().send(None),
    "recv as bytes": lambda connection: connection.recv(decode=False).send(None),
    "iteration": lambda connection: anext(connection).send(None),
    "the same iteration": lambda connection: anext(aiter(connection)).send(None),
    "a part": lambda connection: connection._recv_part().send(None),
    "skipping parts": lambda connection: connection._skip_parts(),
    "on_message": lambda connection: setattr(connection, "on_message", print),
    "pause": lambda connection: connection.pause(),
    "resume": lambda connection: connection.resume(),
}


@pytest.mark.parametrize("waiting", [1, 16])
@pytest.mark.parametrize("call", TAKING.values(), ids=TAKING)
async def test_what_waits_is_not_lost_to_another_thread(wire, call, waiting):
    # With 16 reading has stopped, and the one that takes has it go on.
    async with wire.pair() as (client, server):
        received = server.server._shard.metrics()["received"]
        for number in range(waiting):
            await client.send(str(number))
        await eventually(lambda: server.server._shard.metrics()["received"] == received + waiting)
        for _ in range(20):
            assert isinstance(in_a_thread(lambda: call(server)), everwire.UsageError)
        assert server.on_message is None
        await client.send("next")
        assert [await server.recv() for _ in range(waiting + 1)] == [*map(str, range(waiting)), "next"]


async def test_a_receiver_that_another_thread_drives_gets_its_message_here(line):
    async with line.pair() as (client, server):
        receiving = server.recv()
        assert receiving.send(None) is not None
        await client.send("message")
        await (await client.ping())
        assert isinstance(in_a_thread(lambda: receiving.send(None)), everwire.UsageError)
        assert await server.recv() == "message"


async def test_heads_are_not_lost_to_another_thread(line):
    async with line.pair() as (client, server):
        assert isinstance(in_a_thread(lambda: _core.drop_request(client)), everwire.UsageError)
        assert _core.request_head(client).startswith(b"GET / HTTP/1.1")
        assert client.request is not None
        assert server.request is not None


async def test_a_server_is_closed_by_its_own_thread(line):
    async with line.serve(echo) as server:
        assert isinstance(in_a_thread(server.close), everwire.UsageError)
        assert isinstance(in_a_thread(lambda: asyncio.run(server.wait_closed())), everwire.UsageError)
        assert server.is_serving()
        async with line.connect(server) as client:
            await client.send("goes on")
            assert await client.recv() == "goes on"


async def test_the_advice_works(line):
    async with line.pair() as (client, server):
        loop = asyncio.get_running_loop()
        error = in_a_thread(lambda: client.send_nowait("x"))
        assert "call_soon_threadsafe" in str(error)
        assert "run_coroutine_threadsafe" in str(error)
        in_a_thread(lambda: loop.call_soon_threadsafe(client.send_nowait, "one"))
        assert await server.recv() == "one"
        future = in_a_thread(lambda: asyncio.run_coroutine_threadsafe(client.close(4000), loop))
        await server.wait_closed()
        await asyncio.wrap_future(future)
        assert server.close_code == 4000


async def test_what_is_only_looked_at_can_be_seen_from_anywhere(line):
    async with line.pair() as (client, _):
        assert in_a_thread(lambda: (client.state, client.id, repr(client))) == (client.state, client.id, repr(client))


async def test_a_connection_that_another_thread_drops_is_freed(line):
    async with line.pair() as (client, server):
        await client.close()
        await server.wait_closed()
    holder = [client]
    reference = weakref.ref(client)
    del client
    in_a_thread(holder.clear)
    # The engine's row is gone with the connection: what the other thread held was the last reference.
    assert reference() is None


async def test_parts_that_another_thread_drops_are_dropped(line):
    async with line.pair() as (client, server):
        holder = [server.recv_streaming()]
        await client.send(["a", "b"])
        assert await anext(holder[0]) == "a"
        in_a_thread(holder.clear)
        await client.send("next")
        await asyncio.sleep(0)
        assert await server.recv() == "next"


async def test_streaming_in_another_thread_is_a_mistake_and_does_nothing(line):
    async with line.pair() as (client, server):
        assert isinstance(in_a_thread(lambda: anext(client.recv_streaming()).send(None)), everwire.UsageError)
        await server.send("goes on")
        assert await client.recv() == "goes on"
