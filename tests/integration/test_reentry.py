"""The engine is called from inside its own calls: by callbacks of messages, which may do anything."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest
from peer.timing import eventually

import everwire
from everwire import State


async def echo(connection):
    async for message in connection:
        await connection.send(message)


class TestOnMessage:
    async def test_sends_to_the_sender_and_to_others(self, wire):
        async with wire.pair() as (one, at_one), wire.pair() as (two, at_two):
            at_one.on_message = lambda connection, message: [
                at_two.send_nowait(f"to two: {message}"),
                connection.send_nowait(f"to one: {message}"),
            ]
            for number in range(50):
                one.send_nowait(str(number))
            assert [await one.recv() for _ in range(50)] == [f"to one: {number}" for number in range(50)]
            assert [await two.recv() for _ in range(50)] == [f"to two: {number}" for number in range(50)]

    async def test_broadcasts_to_all_and_itself(self, wire):
        connections = []

        def on_message(connection, message):
            everwire.broadcast(connections, message)

        def handler(connection):
            connections.append(connection)
            connection.on_message = on_message

        async with wire.serve(handler) as server:
            clients = [await wire.connect(server) for _ in range(5)]
            await eventually(lambda: len(connections) == 5)
            for client in clients:
                for number in range(20):
                    client.send_nowait(str(number))
            for client in clients:
                assert sorted([await client.recv() for _ in range(100)]) == sorted(map(str, [*range(20)] * 5))
            for client in clients:
                await client.close()

    async def test_closes_the_connection_and_gets_what_was_on_its_way(self, wire, complaints):
        received = []

        def on_message(connection, message):
            received.append(message)
            closing.append(asyncio.ensure_future(connection.close(4000, "enough")))

        closing = []
        async with wire.pair() as (client, server):
            server.on_message = on_message
            for number in range(20):
                client.send_nowait(str(number))
            await client.wait_closed()
            assert (client.close_code, client.close_reason) == (4000, "enough")
            await asyncio.gather(*closing)
        assert received[0] == "0"
        assert received == [str(number) for number in range(len(received))]
        assert complaints == []

    async def test_aborts_the_connection_and_gets_nothing_more(self, wire, complaints):
        received = []

        def on_message(connection, message):
            received.append(message)
            connection.abort()

        async with wire.pair() as (client, server):
            server.on_message = on_message
            for number in range(20):
                client.send_nowait(str(number))
            await client.wait_closed()
            await server.wait_closed()
            assert client.close_code == 1006
        assert received == ["0"]
        assert complaints == []

    async def test_aborts_others_whose_messages_wait_in_the_same_batch(self, line, complaints):
        connections, received = [], []

        def on_message(connection, message):
            received.append(connection)
            if len(received) == 1:
                for other in connections:
                    if other is not connection:
                        other.abort()

        def handler(connection):
            connections.append(connection)
            connection.on_message = on_message

        async with line.serve(handler) as server:
            clients = [await line.connect(server) for _ in range(10)]
            await eventually(lambda: len(connections) == 10)
            for client in clients:
                client.send_nowait("x")
            await eventually(lambda: sum(connection.state is State.OPEN for connection in connections) == 1)
            assert received[0].state is State.OPEN
            for client in clients:
                client.abort()
        assert complaints == []

    async def test_is_replaced_within_itself_from_the_next_message_on(self, line):
        received = []

        def first(connection, message):
            received.append(("first", message))
            connection.on_message = second

        def second(connection, message):
            received.append(("second", message))
            connection.on_message = first

        async with line.pair() as (client, server):
            server.on_message = first
            for number in range(6):
                client.send_nowait(str(number))
            await eventually(lambda: len(received) == 6)
        assert received == [(("first", "second")[number % 2], str(number)) for number in range(6)]

    async def test_is_taken_away_within_itself_and_the_rest_is_received(self, line):
        received = []

        def once(connection, message):
            received.append(message)
            connection.on_message = None

        async with line.pair() as (client, server):
            server.on_message = once
            for number in range(6):
                client.send_nowait(str(number))
            await eventually(lambda: received)
            received.extend([await server.recv() for _ in range(5)])
        assert received == [str(number) for number in range(6)]

    async def test_is_set_by_a_receiver_and_gets_what_waits(self, line):
        received = []

        async def handler(connection):
            received.append(await connection.recv())
            connection.on_message = lambda connection, message: received.append(message)
            await connection.wait_closed()

        async with line.serve(handler) as server, line.connect(server) as client:
            for number in range(50):
                client.send_nowait(str(number))
            await eventually(lambda: len(received) == 50)
        assert received == [str(number) for number in range(50)]

    async def test_pauses_and_resumes_within_itself(self, line):
        received = []

        def on_message(connection, message):
            received.append(message)
            connection.pause()
            connection.resume()
            connection.resume()
            connection.pause()
            asyncio.get_running_loop().call_soon(connection.resume)

        async with line.pair() as (client, server):
            server.on_message = on_message
            for number in range(100):
                client.send_nowait(str(number))
            await eventually(lambda: len(received) == 100)
        assert received == [str(number) for number in range(100)]

    async def test_closes_the_server(self, wire, complaints):
        def on_message(connection, message):
            connection.server.close()

        def handler(connection):
            connection.on_message = on_message

        async with wire.serve(handler) as server:
            clients = [await wire.connect(server) for _ in range(3)]
            for client in clients:
                client.send_nowait("close")
            await server.wait_closed()
            for client in clients:
                await client.wait_closed()
                assert client.close_code == 1001
        assert complaints == []

    async def test_serves_and_connects(self, line):
        tasks = []

        async def another(connection):
            async with line.serve(echo) as server, line.connect(server) as client:
                await client.send("inner")
                connection.send_nowait(await client.recv())

        async with line.pair() as (client, server):
            server.on_message = lambda connection, message: tasks.append(asyncio.ensure_future(another(connection)))
            await client.send("go")
            assert await client.recv() == "inner"
            await asyncio.gather(*tasks)

    async def test_drops_the_last_reference_to_what_it_is_called_with(self, line):
        class Holder:
            def __call__(self, connection, message):
                # Nobody else holds this callable.
                connection.on_message = None
                gone.append(weakref.ref(self))
                connection.send_nowait("done")

        gone = []
        async with line.pair() as (client, server):
            server.on_message = Holder()
            await client.send("x")
            assert await client.recv() == "done"
            assert gone[0]() is None

    async def test_drops_the_server_and_every_connection(self, line, complaints):
        # Everything but the engine's own table forgets them, in the middle of a batch.
        held = {}

        def on_message(connection, message):
            held.clear()
            gc.collect()
            connection.send_nowait(message)

        def handler(connection):
            connection.on_message = on_message
            held[connection] = connection

        async with line.serve(handler) as server:
            client = await line.connect(server)
            for number in range(10):
                client.send_nowait(str(number))
            assert [await client.recv() for _ in range(10)] == [str(number) for number in range(10)]
            await client.close()
        assert complaints == []

    async def test_collects_garbage_that_holds_connections(self, line):
        closed = []

        class Cycle:
            def __init__(self, connection):
                self.connection = connection
                self.itself = self

            def __del__(self):
                closed.append(asyncio.ensure_future(self.connection.close(4002)))

        async with line.pair() as (one, at_one), line.pair() as (two, at_two):
            Cycle(at_two)
            at_one.on_message = lambda connection, message: gc.collect()
            await one.send("collect")
            await two.wait_closed()
            assert two.close_code == 4002
            assert one.state is State.OPEN
            await asyncio.gather(*closed)

    @pytest.mark.parametrize("action", ["send", "close", "abort", "pause", "replace", "broadcast", "close server"])
    async def test_fails_after_it_did_something(self, line, complaints, action):
        def on_message(connection, message):
            match action:
                case "send":
                    connection.send_nowait("before the failure")
                case "close":
                    closing.append(asyncio.ensure_future(connection.close(4000)))
                case "abort":
                    connection.abort()
                case "pause":
                    connection.pause()
                case "replace":
                    connection.on_message = None
                case "broadcast":
                    everwire.broadcast([connection], "before the failure")
                case "close server":
                    connection.server.close()
            raise LookupError(action)

        closing = []
        async with line.pair() as (client, server):
            server.on_message = on_message
            client.send_nowait("x")
            await client.wait_closed()
            await server.wait_closed()
            assert client.close_code == (1006 if action == "abort" else 1011)
            if action in ("send", "broadcast"):
                assert await client.recv() == "before the failure"
            await asyncio.gather(*closing)
        assert [type(complaint["exception"]) for complaint in complaints] == [LookupError]

    async def test_fails_in_the_middle_of_a_batch_and_nobody_else_notices(self, line, complaints):
        def on_message(connection, message):
            if message == "fail":
                raise LookupError
            connection.send_nowait(message)

        def handler(connection):
            connection.on_message = on_message

        async with line.serve(handler) as server:
            clients = [await line.connect(server) for _ in range(20)]
            for number, client in enumerate(clients):
                client.send_nowait("fail" if number % 3 == 0 else "echo")
            for number, client in enumerate(clients):
                if number % 3 == 0:
                    await client.wait_closed()
                    assert client.close_code == 1011
                else:
                    assert await client.recv() == "echo"
                    await client.close()
        assert len(complaints) == 7

    async def test_runs_another_loop_and_is_told_that_it_cannot(self, line, complaints):
        async def nothing():
            pass

        def on_message(connection, message):
            coroutine = nothing()
            try:
                asyncio.run(coroutine)
            finally:
                coroutine.close()

        async with line.pair() as (client, server), line.pair() as (other, at_other):
            server.on_message = on_message
            await client.send("x")
            await client.wait_closed()
            assert client.close_code == 1011
            await other.send("goes on")
            assert await at_other.recv() == "goes on"
        assert [type(complaint["exception"]) for complaint in complaints] == [RuntimeError]

    async def test_calls_the_shard_that_calls_it(self, line):
        # What the loop calls when a socket is ready: within a turn it does nothing.
        received = []

        def on_message(connection, message):
            received.append(message)
            connection.server._shard._on_ready()
            connection.server._shard._run()
            connection.server._shard._on_timer()

        async with line.pair() as (client, server):
            server.on_message = on_message
            for number in range(20):
                client.send_nowait(str(number))
            await eventually(lambda: len(received) == 20)
            assert received == [str(number) for number in range(20)]
