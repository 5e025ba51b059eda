"""Peers who do not read: what waits for them is bounded, and nobody else waits."""

from __future__ import annotations

import asyncio

import pytest
from peer.frames import BINARY, CLOSE
from peer.timing import MS, eventually

import everwire
from everwire import State, _core

KIB = 1024


async def deaf(served):
    """A client that reads nothing, and the server's end of it, which has more to say than the kernel takes."""
    client = await served.open(receive_buffer=4096)
    client.writer.transport.pause_reading()
    await eventually(lambda: served.connections)
    connection = served.connections[-1]
    while connection.write_buffer_size == 0:
        connection.send_nowait(bytes(64 * KIB), flush=True)
        await asyncio.sleep(0)
    return client, connection


class TestWriteHigh:
    @pytest.mark.measures_sockets
    async def test_send_waits_above_it_and_goes_on_at_a_quarter(self, serving):
        async with serving(limits={"write_high": 100 * KIB}) as served:
            before = _core.memory_held()
            client, connection = await deaf(served)
            sent = 0
            while True:
                sending = asyncio.ensure_future(connection.send(bytes(10 * KIB)))
                done, _ = await asyncio.wait([sending], timeout=200 * MS)
                if not done:
                    break
                sent += 1
            assert 100 * KIB < connection.write_buffer_size <= 111 * KIB
            assert _core.memory_held() - before <= 128 * KIB
            client.writer.transport.resume_reading()
            while not sending.done():
                assert len((await client.frame()).payload) in (10 * KIB, 64 * KIB)
            await sending
            assert connection.write_buffer_size <= 25 * KIB + 11 * KIB

    @pytest.mark.measures_sockets
    async def test_others_are_served_meanwhile(self, serving):
        async with serving(limits={"write_high": 100 * KIB}) as served:
            _, connection = await deaf(served)
            while not connection._is_full():
                connection.send_nowait(bytes(10 * KIB))
            sending = asyncio.ensure_future(connection.send("waits"))
            other = await served.open()
            await eventually(lambda: len(served.connections) == 2)
            await served.connections[-1].send("does not")
            assert (await other.frame()).payload == b"does not"
            assert not sending.done()
            connection.abort()
            with pytest.raises(everwire.ConnectionClosedError):
                await sending


def fill(connection, message=bytes(10 * KIB)):
    """Send without waiting until the limit says no; how often it did not."""
    for count in range(100_000):
        try:
            connection.send_nowait(message)
        except everwire.LimitExceeded:
            return count
    raise AssertionError("there is no limit")


class TestOutput:
    @pytest.mark.measures_sockets
    async def test_send_nowait_fails_beyond_it_and_the_connection_stays(self, serving):
        async with serving(limits={"output": 500 * KIB}) as served:
            before = _core.memory_held()
            client, connection = await deaf(served)
            assert fill(connection) > 10
            assert 480 * KIB < connection.write_buffer_size <= 500 * KIB
            assert _core.memory_held() - before <= 512 * KIB
            assert connection.state is State.OPEN
            with pytest.raises(everwire.LimitExceeded):
                connection.send_nowait(bytes(10 * KIB))
            client.writer.transport.resume_reading()
            await drained(client, connection)
            connection.send_nowait("there is room again")

    @pytest.mark.measures_sockets
    async def test_it_is_for_what_nobody_waits_for(self, serving):
        async with serving(limits={"output": 100 * KIB}) as served:
            client, connection = await deaf(served)
            with pytest.raises(everwire.LimitExceeded):
                connection.send_nowait(bytes(101 * KIB))
            # What waits is below the mark of send(), though there is no room for this beside it.
            await eventually(lambda: not connection._is_full())
            await connection.send(bytes(99 * KIB))
            sending = asyncio.ensure_future(connection.send(bytes(500 * KIB)))
            await asyncio.sleep(50 * MS)
            assert not sending.done()
            assert connection.write_buffer_size <= 64 * KIB + 100 * KIB
            client.writer.transport.resume_reading()
            payload = 0
            while payload < 500 * KIB:
                frame = await client.frame()
                if frame.opcode == 0 or not frame.fin:
                    payload += len(frame.payload)
            await sending

    @pytest.mark.measures_sockets
    @pytest.mark.parametrize("compression", ["deflate", None])
    async def test_broadcast_skips_who_is_beyond_it(self, serving, compression, caplog):
        async with serving(limits={"output": 500 * KIB}, compression=compression) as served:
            _, slow = await deaf(served)
            quick = await served.open()
            await eventually(lambda: len(served.connections) == 2)
            fill(slow)
            waiting = slow.write_buffer_size
            everwire.broadcast(served.server.connections, "x" * 20 * KIB)
            assert len((await quick.frame()).payload) == 20 * KIB
            with pytest.raises(ExceptionGroup) as raised:
                everwire.broadcast(served.server.connections, "y" * 20 * KIB, raise_exceptions=True)
            (missed,) = raised.value.exceptions
            assert isinstance(missed, everwire.LimitExceeded)
            assert repr(slow) in str(missed)
            assert len((await quick.frame()).payload) == 20 * KIB
            assert (slow.state, slow.write_buffer_size) == (State.OPEN, waiting)
            assert served.server._shard.metrics()["slow"] == 2

    async def test_broadcast_closes_with_1013_by_policy(self, serving):
        async with serving(limits={"output": 500 * KIB}, overflow="close", close_timeout=5000 * MS) as served:
            before = _core.memory_held()
            client, slow = await deaf(served)
            fill(slow)
            everwire.broadcast(served.server.connections, "x" * 20 * KIB)
            await eventually(lambda: slow.state is State.CLOSING)
            # What it had not begun to receive is gone.
            assert _core.memory_held() - before <= 192 * KIB
            client.writer.transport.resume_reading()
            frame = await client.closed()
            assert (frame.code, frame.reason) == (1013, "too slow: try again later")
        assert slow.close_code == 1006

    async def test_pings_and_pongs_of_the_application_count(self, serving):
        async with serving(limits={"output": 200 * KIB}) as served:
            _, connection = await deaf(served)
            fill(connection)
            for send in (connection.ping, connection.pong):
                with pytest.raises(everwire.LimitExceeded):
                    for number in range(10_000):
                        await send(str(number))
            assert connection.write_buffer_size <= 200 * KIB


async def drained(client, connection):
    """Read until nothing waits any more."""
    while connection.write_buffer_size:
        await client.frame()


class TestMessageOverhead:
    @pytest.mark.measures_sockets
    @pytest.mark.parametrize("how", ["send_nowait", "broadcast"])
    async def test_empty_messages_are_not_free(self, serving, how):
        async with serving(limits={"output": 200 * KIB, "message_overhead": 1000}) as served:
            _, connection = await deaf(served)
            begun = connection.write_buffer_size
            if how == "send_nowait":
                count = fill(connection, b"")
            else:
                count = 0
                while not served.server._shard.broadcast([connection], b"", None):
                    count += 1
            assert count <= (200 * KIB - begun) // 1000
            assert connection.write_buffer_size - begun == 2 * count
            assert connection.state is State.OPEN

    async def test_they_count_no_more_once_they_left(self, serving):
        async with serving(limits={"output": 200 * KIB, "message_overhead": 1000}) as served:
            client, connection = await deaf(served)
            first = fill(connection, b"")
            client.writer.transport.resume_reading()
            await drained(client, connection)
            assert fill(connection, b"") >= first
            connection._close(1000, "")
            opcodes = {(await client.frame()).opcode for _ in range(first)}
            assert opcodes <= {BINARY, CLOSE}
