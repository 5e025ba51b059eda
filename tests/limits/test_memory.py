"""The cap on all buffers of the process, and what happens on the way to it, in this order."""

from __future__ import annotations

import asyncio
import gc

import pytest
from peer.frames import BINARY, PING, PONG, encode
from peer.timing import MS, eventually

import everwire
from everwire import State, _core

KIB = 1024
CAP = 1000 * KIB


@pytest.fixture(autouse=True)
def nothing_else():
    """The account is the process's: what other tests left has to be gone."""
    gc.collect()
    assert _core.memory_held() == 0


async def hold(served, size):
    """A client whose message never ends, so that these bytes of it are held."""
    client = await served.open()
    before = _core.memory_held()
    client.write(encode(BINARY, bytes(size), fin=False))
    await eventually(lambda: _core.memory_held() - before >= size)
    return client


class TestMemory:
    @pytest.mark.measures_sockets
    async def test_from_80_percent_on_handshakes_are_503(self, serving):
        async with serving(limits={"memory": CAP}) as served:
            witness = await served.open()
            await hold(served, 400 * KIB)
            assert await served.status() == 101
            await hold(served, 410 * KIB)
            assert 0.8 * CAP < _core.memory_held() <= 0.9 * CAP
            async with await served.ask() as late:
                head = await late.head()
                assert (head.status, head["retry-after"]) == (503, "5")
                text = f"this server has used up 80 % of limits.memory ({CAP} bytes): try again later\n"
                assert await late.text(head) == text
            # Those who are inside notice nothing.
            witness.send(PING)
            assert (await witness.frame()).opcode == PONG

    async def test_from_90_percent_on_reading_stops_until_there_is_room(self, serving):
        async with serving(limits={"memory": CAP, "queue_messages": 1, "output": CAP}) as served:
            witness = await served.open()
            reader = await served.open(receive_buffer=4096)
            reader.writer.transport.pause_reading()
            await eventually(lambda: len(served.connections) == 2)
            connection = served.connections[-1]
            while _core.memory_held() <= 0.9 * CAP:
                connection.send_nowait(bytes(16 * KIB))
                await asyncio.sleep(0)
            assert _core.memory_held() <= CAP
            held = _core.memory_held()
            witness.write(encode(PING) + encode(BINARY, bytes(500 * KIB)))
            with pytest.raises(TimeoutError):
                await witness.frame(within=200 * MS)
            assert _core.memory_held() == held
            reader.writer.transport.resume_reading()
            reading = asyncio.ensure_future(reader.closed())
            assert (await witness.frame()).opcode == PONG
            reading.cancel()
            assert {connection.state for connection in served.connections} == {State.OPEN}

    async def test_beyond_it_the_largest_holder_is_closed_with_1013(self, serving):
        async with serving(limits={"memory": CAP, "message": 10 * CAP, "queue_bytes": 10 * CAP}) as served:
            small = await hold(served, 100 * KIB)
            large = await served.open()
            large.write(encode(BINARY, bytes(CAP), fin=False))
            frame = await large.closed()
            assert (frame.code, frame.reason) == (1013, "too slow: try again later")
            assert _core.memory_held() <= 0.9 * CAP
            small.send(PING)
            assert (await small.frame()).opcode == PONG
            assert await served.status() == 101

    async def test_output_for_one_who_does_not_read_is_dropped_first(self, serving):
        async with serving(limits={"memory": CAP}) as served:
            deaf = await served.open(receive_buffer=4096)
            deaf.writer.transport.pause_reading()
            await eventually(lambda: served.connections)
            (connection,) = served.connections
            small = await hold(served, 100 * KIB)
            while connection.state is State.OPEN and _core.memory_held() <= CAP:
                connection.send_nowait(bytes(100 * KIB))
            await eventually(lambda: connection.state is not State.OPEN)
            assert _core.memory_held() <= 0.9 * CAP
            small.send(PING)
            assert (await small.frame()).opcode == PONG

    async def test_a_crowd_that_holds_more_than_all_of_it_is_shed_and_the_server_lives(self, serving):
        async with serving(limits={"memory": CAP}) as served:
            witness = await served.open()
            crowd = [await served.open() for _ in range(50)]
            peak = 0
            for client in crowd:
                client.write(encode(BINARY, bytes(100 * KIB), length=1024 * KIB))
            for _ in range(200):
                await asyncio.sleep(1 * MS)
                peak = max(peak, _core.memory_held())
            assert peak <= CAP + 512 * KIB
            # Nobody of them says more: the server finds its way out, as far as reading goes again.
            witness.send(PING)
            assert (await witness.frame(within=20_000 * MS)).opcode == PONG
            assert len(served.server.connections) < 51
            for client in crowd:
                client.writer.close()
            await eventually(lambda: _core.memory_held() <= 0.8 * CAP)
            assert await served.status() == 101

    @pytest.mark.measures_sockets
    async def test_nobody_is_blamed_for_a_pong_that_was_not_read(self, serving):
        options = {"ping_interval": 100 * MS, "ping_timeout": 200 * MS, "close_timeout": 100 * MS}
        async with serving(limits={"memory": CAP, "output": CAP}, **options) as served:
            async with everwire.connect("ws://{}:{}/".format(*served.address)) as witness:
                deaf = await served.open(receive_buffer=4096)
                deaf.writer.transport.pause_reading()
                await eventually(lambda: len(served.connections) == 2)
                connection = served.connections[-1]
                while _core.memory_held() <= 0.9 * CAP:
                    connection.send_nowait(bytes(16 * KIB))
                    await asyncio.sleep(0)
                await asyncio.sleep(1000 * MS)
                deaf.writer.transport.resume_reading()
                await asyncio.sleep(100 * MS)
                assert witness.state is State.OPEN
