"""The engine is called from inside its own calls: callbacks, hooks and destructors may do anything."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest
from peer.timing import MS, eventually

import everwire
from everwire import State


@pytest.fixture
async def complaints() -> list[dict[str, Any]]:
    """What the loop's exception handler is told."""
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    return told


async def echo(connection):
    async for message in connection:
        await connection.send(message)


async def goodbye(connecting):
    """How a server that closes gets rid of a newcomer: by status, or by close code if it let them in."""
    try:
        async with connecting as connection:
            await connection.wait_closed()
            return connection.close_code
    except everwire.HandshakeFailed as refused:
        return refused.status


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


class TestDestructors:
    @pytest.mark.parametrize("action", ["send_nowait", "abort", "close", "broadcast", "close server"])
    async def test_an_attribute_of_a_connection_acts_on_it_while_it_is_destroyed(self, line, complaints, action):
        class Attribute:
            def __init__(self, other):
                self.other = other

            def __del__(self):
                match action:
                    case "send_nowait":
                        self.other.send_nowait("from a destructor")
                    case "abort":
                        self.other.abort()
                    case "close":
                        acting.append(asyncio.ensure_future(self.other.close(4003)))
                    case "broadcast":
                        everwire.broadcast([self.other], "from a destructor")
                    case "close server":
                        self.other.server.close()

        acting = []
        async with line.pair() as (other, at_other):

            def handler(connection):
                connection.attribute = Attribute(at_other)

            async with line.serve(handler) as server:
                client = await line.connect(server)
                await client.close()
                del client
                if action in ("send_nowait", "broadcast"):
                    assert await other.recv() == "from a destructor"
                else:
                    await other.wait_closed()
                    code = {"abort": 1006, "close": 4003, "close server": 1001}[action]
                    assert other.close_code == code
            await asyncio.gather(*acting)
        assert complaints == []

    async def test_a_handler_is_destroyed_with_its_server(self, line):
        gone = asyncio.get_running_loop().create_future()

        class Handler:
            def __call__(self, connection):
                connection.on_message = everwire.ServerConnection.send_nowait

            def __del__(self):
                gone.set_result(None)

        async with line.serve(Handler()) as server:
            async with line.connect(server) as client:
                await client.send("x")
                assert await client.recv() == "x"
        del server, client
        for _ in range(3):
            await asyncio.sleep(0)
            gc.collect()
        assert gone.done()


class TestHooks:
    async def test_create_connection_uses_a_connection_that_is_not_connected_yet(self, line):
        said = []

        def create(server):
            connection = everwire.ServerConnection(server)
            for call in (
                lambda: connection.send_nowait("too early"),
                lambda: connection.pause(),
                lambda: connection.remote_address,
                lambda: connection.recv().send(None),
            ):
                with pytest.raises(everwire.UsageError, match="not connected yet"):
                    call()
            connection.abort()
            connection.on_message = lambda connection, message: connection.send_nowait(message)
            said.append(connection.state)
            return connection

        async with line.serve(lambda connection: None, create_connection=create) as server:
            async with line.connect(server) as client:
                await client.send("x")
                assert await client.recv() == "x"
        assert said == [State.CONNECTING]

    @pytest.mark.parametrize("hooked", [False, True])
    async def test_create_connection_fails(self, wire, complaints, hooked):
        fails = True

        def create(server):
            if fails:
                raise LookupError("no connection for you")
            return everwire.ServerConnection(server)

        hooks = {"process_request": lambda connection, request: None} if hooked else {}
        async with wire.serve(echo, create_connection=create, open_timeout=2000 * MS, **hooks) as server:
            with pytest.raises((everwire.HandshakeFailed, everwire.ConnectionClosed)) as raised:
                async with wire.connect(server) as client:
                    await client.recv()
            if hooked and wire.tls != "outside":
                assert raised.value.status == 500
            await eventually(lambda: not server._shard.connections)
            fails = False
            async with wire.connect(server) as client:
                await client.send("x")
                assert await client.recv() == "x"
        assert complaints

    async def test_create_connection_returns_something_else(self, line, complaints):
        async with line.serve(echo, create_connection=lambda server: object(), open_timeout=2000 * MS) as server:
            with pytest.raises((everwire.HandshakeFailed, everwire.ConnectionClosed)):
                async with line.connect(server) as client:
                    await client.recv()
        assert "create_connection returned object" in str(complaints[0]["exception"])

    async def test_create_connection_closes_the_server_and_sends_to_others(self, wire):
        first = []

        def create(server):
            connection = everwire.ServerConnection(server)
            if first:
                first[0].send_nowait("another comes")
                everwire.broadcast(server.connections, "another comes")
                server.close()
            first.append(connection)
            return connection

        async with wire.serve(echo, create_connection=create) as server:
            async with wire.connect(server) as client:
                await client.send("x")
                assert await client.recv() == "x"
                assert await goodbye(wire.connect(server)) in (1001, 503, None)
                assert await client.recv() == "another comes"
                assert await client.recv() == "another comes"
                await client.wait_closed()
                assert client.close_code == 1001

    @pytest.mark.parametrize("is_async", [False, True])
    async def test_process_request_closes_the_server(self, wire, is_async):
        def process_request(connection, request):
            connection.server.close()

        async def slowly(connection, request):
            connection.server.close()
            await asyncio.sleep(0)
            await asyncio.sleep(0)

        async with wire.serve(echo, process_request=slowly if is_async else process_request) as server:
            assert await goodbye(wire.connect(server)) in (1001, 503)
            await server.wait_closed()

    async def test_process_request_aborts_its_connection(self, wire, complaints):
        async with wire.serve(echo, process_request=lambda connection, request: connection.abort()) as server:
            with pytest.raises((everwire.HandshakeFailed, ConnectionError)):
                await wire.connect(server)
            await eventually(lambda: not server._shard.connections)
        assert complaints == []

    async def test_process_request_drops_its_connection_and_goes_on(self, line):
        async def process_request(connection, request):
            reference = weakref.ref(connection)
            del connection
            gc.collect()
            assert reference() is not None

        async with line.serve(echo, process_request=process_request) as server:
            async with line.connect(server) as client:
                await client.send("x")
                assert await client.recv() == "x"

    async def test_a_handler_closes_the_server_and_waits(self, wire):
        async def handler(connection):
            connection.server.close()
            await connection.wait_closed()

        async with wire.serve(handler) as server:
            async with wire.connect(server) as client:
                await client.wait_closed()
                assert client.close_code == 1001
            await asyncio.wait_for(server.wait_closed(), 5000 * MS)

    async def test_a_client_connects_from_its_own_hook(self, line):
        # What makes the connection opens another one first.
        opened = []

        class Eager(everwire.ClientConnection):
            def _opened(self, connection):
                super()._opened(connection)
                self.send_nowait("first of all")

        async with line.serve(echo) as server:
            async with line.connect(server, create_connection=Eager) as client:
                opened.append(client)
                assert await client.recv() == "first of all"


class TestExceptionHandler:
    async def test_it_closes_what_failed(self, line):
        loop = asyncio.get_running_loop()
        closing = []

        def handle(loop, context):
            connection = context["connection"]
            closing.append(asyncio.ensure_future(connection.close(4000)))
            everwire.broadcast([connection], "too late")

        def fail(connection, message):
            raise LookupError

        loop.set_exception_handler(handle)
        async with line.pair() as (client, server):
            server.on_message = fail
            await client.send("x")
            await client.wait_closed()
            assert client.close_code == 1011
            await asyncio.gather(*closing)

    async def test_it_fails_too(self, line, caplog):
        def handle(loop, context):
            raise KeyError("in the exception handler")

        def fail(connection, message):
            raise LookupError("in the callback")

        asyncio.get_running_loop().set_exception_handler(handle)
        async with line.pair() as (client, server), line.pair() as (other, at_other):
            server.on_message = fail
            await client.send("x")
            await client.wait_closed()
            assert client.close_code == 1011
            await other.send("goes on")
            assert await at_other.recv() == "goes on"
