"""The engine is called from inside its own calls: by hooks, destructors and exception handlers."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest
from peer.timing import MS, eventually

import everwire
from everwire import State


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

    @pytest.mark.parametrize("hooked", [False, True])
    async def test_create_connection_returns_the_same_again(self, line, complaints, hooked):
        made = []

        def create(server):
            if not made:
                made.append(everwire.ServerConnection(server))
            return made[0]

        hooks = {"process_request": lambda connection, request: None} if hooked else {}
        async with line.serve(echo, create_connection=create, **hooks) as server, line.connect(server) as first:
            with pytest.raises((everwire.HandshakeFailed, everwire.ConnectionClosed)):
                async with line.connect(server) as second:
                    await second.recv()
            await first.send("mine alone")
            assert await first.recv() == "mine alone"
        assert "in use" in str(complaints[0]["exception"])

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
            def _keep_response(self):  # within the call that says that the connection is open
                super()._keep_response()
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
