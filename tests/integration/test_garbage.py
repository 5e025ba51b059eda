"""Everything is freed when it is dropped: connections, servers, handlers, callbacks, loops, in cycles too."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import weakref

import pytest
from peer.loops import LOOPS
from peer.timing import eventually

import everwire
from everwire import _core


class Thing:
    """Something to attach, and to look for."""


async def echo(connection):
    async for message in connection:
        await connection.send(message)


def engine_objects():
    """How many objects of the engine's cyclic kinds there are."""
    kinds = (everwire.Connection, everwire.Server, _core.Shard)
    return sum(isinstance(it, kinds) for it in gc.get_objects())


async def collected(*references):
    """Collect, after what the loop has on its list, and see whether all is gone."""
    for _ in range(3):
        await asyncio.sleep(0)
        gc.collect()
    return [reference() for reference in references if reference() is not None] == []


async def test_a_closed_connection_is_freed_without_a_collector(wire):
    # Nothing of ours may form a cycle around a connection: the collector's pauses grow with what waits for it.
    gone = []

    async def handler(connection):
        gone.append(weakref.ref(connection))
        async for message in connection:
            await connection.send(message)

    async with wire.serve(handler) as server:
        gc.collect()
        gc.disable()
        try:
            async with wire.connect(server) as client:
                await client.send("x")
                assert await client.recv() == "x"
                gone.append(weakref.ref(client))
            del client
            # asyncio's TLS transports are cycles of their own.
            if wire.tls == "outside":
                gc.collect()
            await eventually(lambda: [reference() for reference in gone] == [None, None])
        finally:
            gc.enable()


async def test_a_callback_that_holds_its_connection_is_freed_with_it(line):
    gone = []

    def handler(connection):
        thing = Thing()
        thing.connection = connection
        gone.extend((weakref.ref(thing), weakref.ref(connection)))
        connection.on_message = lambda _, message: thing.connection.send_nowait(message)
        connection.attribute = thing

    async with line.serve(handler) as server:
        async with line.connect(server) as client:
            await client.send("x")
            assert await client.recv() == "x"
        assert await collected(*gone)


async def test_a_callback_goes_when_it_is_replaced(line):
    async with line.pair() as (_, server):
        thing = Thing()
        server.on_message = lambda connection, message, thing=thing: None
        reference = weakref.ref(thing)
        del thing
        server.on_message = None
        assert reference() is None


@pytest.mark.parametrize("how", ["recv", "iteration", "recv_streaming", "ping", "wait_closed", "send"])
async def test_a_task_that_waits_for_a_connection_that_ended_is_freed(line, how):
    thing = Thing()
    reference = weakref.ref(thing)

    async def wait(connection, thing):
        match how:
            case "recv":
                await connection.recv()
            case "iteration":
                async for _ in connection:
                    pass
            case "recv_streaming":
                async for _ in connection.recv_streaming():
                    pass
            case "ping":
                await (await connection.ping())
            case "wait_closed":
                await connection.wait_closed()
            case "send":
                while True:
                    await connection.send(bytes(100_000))

    async with line.pair(serve={"max_queue": 1}) as (client, server):
        waiting = asyncio.ensure_future(wait(client, thing))
        del thing
        await asyncio.sleep(0)
        server.abort()
        await asyncio.wait([waiting])
        if waiting.exception() is not None:
            assert isinstance(waiting.exception(), everwire.ConnectionClosed)
        del waiting
    assert await collected(reference)


async def test_messages_that_wait_are_freed_with_their_connection(line):
    # bytes have no weak references: the engine's memory is looked at instead, and the objects are counted.
    async with line.pair() as (client, server):
        for _ in range(10):
            await client.send(b"x" * 50_000)
        await (await client.ping())
        reference = weakref.ref(server)
        before = sum(isinstance(it, bytes) and len(it) == 50_000 for it in gc.get_referents(server))
        assert before == 10
    del server, client
    assert await collected(reference)


async def test_a_server_with_its_handler_and_connections_in_a_cycle_is_freed(wire):
    before = engine_objects()

    async def once():
        thing = Thing()

        async def handler(connection):
            thing.connections.append(connection)
            connection.thing = thing
            await connection.wait_closed()

        thing.connections = []
        async with wire.serve(handler) as server:
            thing.server = server
            server.thing = thing
            clients = [await wire.connect(server) for _ in range(3)]
            for client in clients:
                client.thing = thing
            await eventually(lambda: len(thing.connections) == 3)
            references = [weakref.ref(it) for it in (thing, server, handler, *clients, *thing.connections)]
            for client in clients:
                await client.close()
        return references

    assert await collected(*await once())
    assert engine_objects() <= before


async def test_refused_failed_and_abandoned_handshakes_leave_nothing(wire):
    seen = []

    async def process_request(connection, request):
        seen.append(weakref.ref(connection))
        connection.thing = connection
        if request.path == "/fail":
            raise LookupError
        if request.path == "/never":
            await asyncio.sleep(3600)
        return connection.respond(403, "no\n")

    # Records keep connections and tracebacks, and the tests keep records.
    quiet = logging.Logger("quiet", logging.CRITICAL)
    async with wire.serve(echo, process_request=process_request, logger=quiet) as server:
        for target in ("/refuse", "/fail"):
            with pytest.raises(everwire.HandshakeFailed):
                await wire.connect(server, target)
        with pytest.raises(TimeoutError):
            await wire.connect(server, "/never", open_timeout=0.05)
        # The client has left, and so its hook is cancelled.
        await eventually(lambda: not server._deciding and not server._shard.connections)
        assert len(seen) == 3
        assert await collected(*seen)


async def test_a_failed_connect_keeps_nothing_alive(line):
    made = []

    class Watched(everwire.ClientConnection):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            self.itself = self
            made.append(weakref.ref(self))

    async with line.serve(echo) as server:
        url = line.url(server)
    with pytest.raises(OSError, match=r".*"):
        await everwire.connect(url, create_connection=Watched)

    async def refuse(connection, request):
        return connection.respond(403, "no\n")

    async with line.serve(echo, process_request=refuse) as server:
        with pytest.raises(everwire.HandshakeFailed) as raised:
            await line.connect(server, create_connection=Watched)
        del raised
        assert made
        assert await collected(*made)


def test_a_loop_that_was_closed_is_freed_with_all_that_lived_on_it():
    for make_loop in LOOPS.values():
        for _ in range(2):
            thing = Thing()

            async def main(thing=thing):
                async def handler(connection, thing=thing):
                    await connection.wait_closed()

                async with everwire.serve(handler, "127.0.0.1", 0) as server:
                    thing.server, thing.loop = server, asyncio.get_running_loop()
                    thing.shard = server._shard
                    async with everwire.connect(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/") as client:
                        thing.client = client
                return [weakref.ref(it) for it in (thing, server, client, server._shard, thing.loop)]

            with asyncio.Runner(loop_factory=make_loop) as runner:
                references = runner.run(main())
            del thing, main, runner
            gc.collect()
            gc.collect()
            assert [reference() for reference in references] == [None] * 5


async def test_the_shard_goes_with_its_last_connection_and_the_loop_watches_nothing(line):
    def watched():
        count = 0
        for name in os.listdir("/proc/self/fd"):
            # The listing's own descriptor is closed by now.
            with contextlib.suppress(FileNotFoundError):
                count += os.readlink(f"/proc/self/fd/{name}") == "anon_inode:[eventpoll]"
        return count

    before = watched()
    async with line.serve(echo) as server:
        shard = weakref.ref(server._shard)
        async with line.connect(server) as client:
            await client.send("x")
            await client.recv()
        assert watched() == before + 1
    del server, client
    assert await collected(shard)
    assert watched() == before
