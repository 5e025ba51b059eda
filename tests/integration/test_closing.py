"""Closing: codes, reasons, who was first, how long it may take, and what everybody is told."""

from __future__ import annotations

import asyncio
import pickle
import time

import pytest
from peer import frames
from peer.certificates import client_context
from peer.client import RawClient
from peer.timing import MS, eventually

import everwire
from everwire import Close, State


async def test_both_sides_know_code_reason_and_who_was_first(wire):
    async with wire.pair() as (client, server):
        await client.close(3500, "auf Wiedersehen, 世界")
        await server.wait_closed()
        assert (client.close_code, client.close_reason) == (3500, "auf Wiedersehen, 世界")
        assert (server.close_code, server.close_reason) == (3500, "auf Wiedersehen, 世界")
        with pytest.raises(everwire.ConnectionClosedError) as raised:
            await client.recv()
        assert (raised.value.rcvd_then_sent, raised.value.clean) == (False, True)
        with pytest.raises(everwire.ConnectionClosedError) as raised:
            await server.recv()
        assert (raised.value.rcvd_then_sent, raised.value.clean) == (True, True)
        assert raised.value.rcvd == raised.value.sent == Close(3500, "auf Wiedersehen, 世界")


async def test_a_handler_that_returns_closes_with_1000(wire):
    async def handler(connection):
        await connection.send("bye")

    async with wire.serve(handler) as server, wire.connect(server) as client:
        assert [message async for message in client] == ["bye"]
        assert (client.close_code, client.close_reason) == (1000, "")


async def test_a_handler_that_fails_closes_with_1011_and_logs(wire, caplog):
    async def handler(connection):
        raise KeyError("a fault of the handler")

    async with wire.serve(handler) as server, wire.connect(server) as client:
        with pytest.raises(everwire.ConnectionClosedError):
            await client.recv()
        assert client.close_code == 1011
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "handler failed" in record.message
    assert "a fault of the handler" in record.exc_text


async def test_a_peer_that_leaves_is_no_fault_of_the_handler(wire, caplog):
    async def handler(connection):
        while True:
            await connection.send(await connection.recv())

    async with wire.serve(handler) as server:
        async with wire.connect(server) as client:
            await client.send("x")
            await client.recv()
        async with wire.connect(server) as client:
            client.abort()
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]


async def test_states_go_one_way(wire):
    async with wire.pair() as (client, server):
        assert (client.state, server.state) == (State.OPEN, State.OPEN)
        closing = asyncio.ensure_future(client.close())
        await asyncio.sleep(0)
        assert client.state is State.CLOSING
        await closing
        assert client.state is State.CLOSED
        await server.wait_closed()
        assert server.state is State.CLOSED
    assert [int(state) for state in State] == [0, 1, 2, 3]


async def test_close_twice_and_after_the_end_does_nothing(wire):
    async with wire.pair() as (client, server):
        await asyncio.gather(client.close(4000, "first"), client.close(4001, "second"), client.close())
        assert client.close_code == 4000
        await client.close(4002)
        await client.wait_closed()
        assert client.close_code == 4000
        await server.close()


async def test_both_sides_may_close_at_once(wire):
    async with wire.pair() as (client, server):
        await asyncio.gather(client.close(4000), server.close(4001))
        for connection, ours, theirs in ((client, 4000, 4001), (server, 4001, 4000)):
            with pytest.raises(everwire.ConnectionClosedError) as raised:
                await connection.recv()
            assert raised.value.sent.code in (ours, theirs)
            assert raised.value.rcvd.code in (ours, theirs)


async def test_close_without_a_code(line):
    async with line.pair() as (client, server):
        client._close(1005, "")
        await server.wait_closed()
        assert (client.close_code, server.close_code) == (1005, 1005)
        with pytest.raises(everwire.ConnectionClosedOK):
            await server.recv()


@pytest.mark.parametrize("code", [-1, 0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535, 65536, 10**9])
async def test_codes_that_must_not_be_sent_are_a_mistake(line, code):
    async with line.pair() as (client, server):
        with pytest.raises(everwire.UsageError, match="close code"):
            await client.close(code)
        with pytest.raises(everwire.UsageError, match="close code"):
            server.server.close(code=code)
        assert client.state is State.OPEN
        await client.send("goes on")
        assert await server.recv() == "goes on"


async def test_a_reason_of_123_bytes_fits_and_one_byte_more_is_a_mistake(line):
    async with line.pair() as (client, server):
        with pytest.raises(everwire.UsageError, match="123"):
            await client.close(1000, "é" * 62)
        await client.close(1000, "é" * 61 + "x")
        await server.wait_closed()
        assert server.close_reason == "é" * 61 + "x"


async def test_the_server_hangs_up_first(line):
    async with line.serve(lambda connection: None) as server:
        async with await RawClient.open(server.sockets[0].getsockname()) as client:
            client.write(frames.close(1000, "bye"))
            frame = await client.frame()
            assert (frame.opcode, frame.code, frame.reason) == (frames.CLOSE, 1000, "bye")
            assert await client.body() == b""


async def test_a_close_that_is_never_answered_ends_at_the_deadline(wire):
    tls = None if wire.tls == "plain" else client_context()
    async with wire.serve(lambda connection: None, close_timeout=200 * MS) as server:
        async with await RawClient.open(server.sockets[0].getsockname(), tls=tls) as client:
            (connection,) = server.connections
            began = time.monotonic()
            closing = asyncio.ensure_future(connection.close(4000))
            while not closing.done():
                # It keeps talking, but never says goodbye.
                client.send(frames.TEXT, b"la la la")
                await asyncio.sleep(5 * MS)
            assert 150 * MS < time.monotonic() - began < 2000 * MS
            assert connection.close_code == 1006
            with pytest.raises(everwire.ConnectionClosedError) as raised:
                while True:
                    await connection.recv()
            assert isinstance(raised.value.__cause__, TimeoutError)


async def test_abort_ends_without_a_closing_handshake(wire):
    async with wire.pair() as (client, server):
        client.abort()
        client.abort()
        await client.wait_closed()
        await server.wait_closed()
        assert (client.close_code, server.close_code) == (1006, 1006)
        with pytest.raises(everwire.ConnectionClosedError) as raised:
            await client.recv()
        assert raised.value.sent is None


async def test_the_code_is_known_only_at_the_end(line):
    async with line.pair() as (client, server):
        assert (client.close_code, client.close_reason) == (None, None)
        await server.close()
        await client.wait_closed()
        assert (client.close_code, client.close_reason) == (1000, "")


async def test_nothing_can_be_sent_after_close_was_called(wire):
    async with wire.pair() as (client, server):
        closing = asyncio.ensure_future(client.close())
        await asyncio.sleep(0)
        with pytest.raises(everwire.ConnectionClosed):
            await client.send("late")
        with pytest.raises(everwire.ConnectionClosed):
            client.send_nowait("late")
        await closing
        with pytest.raises(everwire.ConnectionClosedOK):
            await server.recv()


async def test_what_was_sent_before_close_arrives(wire):
    async with wire.pair(serve={"max_queue": 1}) as (client, server):
        message = "x" * 40_000
        for _ in range(100):
            client.send_nowait(message)
        closing = asyncio.ensure_future(client.close())
        received = [text async for text in server]
        assert received == [message] * 100
        await closing


async def test_every_receiver_gets_an_exception_of_its_own(line):
    async with line.pair() as (client, _):
        await client.close()
        seen = []
        for _ in range(2):
            with pytest.raises(everwire.ConnectionClosedOK) as raised:
                await client.recv()
            seen.append(raised.value)
        assert seen[0] is not seen[1]
        assert str(seen[0]) == "sent 1000 (OK); then received 1000 (OK)"


async def test_exceptions_can_be_pickled(line):
    async with line.pair() as (client, _):
        await client.close(4000, "why")
        with pytest.raises(everwire.ConnectionClosedError) as raised:
            await client.recv()
        copy = pickle.loads(pickle.dumps(raised.value))
        assert (type(copy), copy.rcvd, copy.sent, str(copy)) == (
            everwire.ConnectionClosedError,
            Close(4000, "why"),
            Close(4000, "why"),
            str(raised.value),
        )


async def test_a_connection_that_is_left_is_closed(wire):
    async with wire.serve(lambda connection: None) as server:
        with pytest.raises(KeyError):
            async with wire.connect(server) as client:
                raise KeyError
        assert client.state is State.CLOSED
        await eventually(lambda: not server._shard.connections)


async def test_what_is_known_of_a_connection_stays_known_after_its_end(wire):
    async with wire.pair() as (client, server):
        ours = server.local_address
        await client.close()
        await server.wait_closed()
        assert server.request.path == "/"
        assert client.response.status_code == 101
        assert server.remote_address[0] == client.remote_address[0] == "127.0.0.1"
        assert client.local_address[1] == server.remote_address[1]
        assert server.local_address == client.remote_address == ours
        assert "CLOSED" in repr(server)


async def test_a_new_connection_may_take_the_place_of_one_whose_end_is_not_told_yet(line):
    async def echo(connection):
        async for message in connection:
            await connection.send(message)

    async with line.serve(echo) as server:
        first = await line.connect(server)

        def create(*arguments, **options):
            first.abort()
            return everwire.ClientConnection(*arguments, **options)

        async with line.connect(server, create_connection=create) as second:
            await asyncio.wait_for(first.wait_closed(), 5000 * MS)
            await second.send("still here")
            assert await second.recv() == "still here"
