"""Peers who send too much: in one message, in messages that nobody takes, in pings."""

from __future__ import annotations

import asyncio
import resource
import socket
import zlib

import pytest
from peer import frames
from peer.frames import BINARY, CONTINUATION, PING, PONG, TEXT, encode
from peer.server import RawServer, answer
from peer.timing import MS, eventually

import everwire
from everwire import _core

KIB = 1024
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"


def bomb(size):
    """Zeros, compressed to a thousandth."""
    deflater = zlib.compressobj(9, wbits=-15)
    data = b"".join(deflater.compress(bytes(64 * KIB)) for _ in range(size // (64 * KIB)))
    return (data + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]


class TestMessage:
    @pytest.mark.parametrize(
        "data",
        [
            encode(BINARY, length=10_001),
            encode(BINARY, bytes(6000), fin=False) + encode(CONTINUATION, length=4001),
            encode(TEXT, b"a", fin=False) + encode(CONTINUATION, b"b", fin=False) * 10_000,
        ],
        ids=["in its claim", "in two fragments", "in tiny fragments"],
    )
    async def test_beyond_it_1009_with_the_limit_in_the_reason(self, serving, data):
        async with serving(limits={"message": 10_000}) as served:
            client = await served.open()
            before = _core.memory_held()
            client.write(data)
            frame = await client.closed()
            assert (frame.code, frame.reason) == (1009, "message of more than 10000 bytes")
            assert _core.memory_held() <= before

    async def test_a_message_of_just_that_size_passes(self, serving):
        async def handler(connection):
            await connection.send(str(len(await connection.recv())))

        async with serving(handler, limits={"message": 10_000}) as served:
            client = await served.open()
            client.send(BINARY, bytes(10_000))
            assert (await client.frame()).payload == b"10000"

    @pytest.mark.measures_sockets
    @pytest.mark.parametrize("pieces", [1, 100], ids=["at once", "in fragments"])
    async def test_a_bomb_is_counted_as_it_inflates(self, serving, pieces):
        async with serving(limits={"message": 64 * KIB}) as served:
            client = await served.open(DEFLATE)
            data = bomb(256 * KIB * KIB)
            held, peak = _core.memory_held(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            size = len(data) // pieces + 1
            for at in range(0, len(data), size):
                opcode, rsv = (CONTINUATION, 0) if at else (BINARY, 4)
                client.send(opcode, data[at : at + size], rsv=rsv, fin=at + size >= len(data))
            assert (await client.closed()).code == 1009
            assert _core.memory_held() <= held
            assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 32 * KIB  # in KiB

    async def test_a_connection_that_was_bombed_harms_no_other(self, serving):
        async def handler(connection):
            async for message in connection:
                await connection.send(message)

        async with serving(handler, limits={"message": 64 * KIB}) as served:
            witness = await served.open(DEFLATE)
            for _ in range(5):
                (await served.open(DEFLATE)).send(BINARY, bomb(16 * KIB * KIB), rsv=4)
            witness.send(TEXT, frames.deflate(b"well"), rsv=4)
            assert (await witness.frame()).payload == b"well"

    async def test_so_it_is_with_a_server_that_sends_too_much(self):
        async def behavior(client, head):
            client.write(answer(head) + encode(BINARY, length=10_001, key=None))
            closing.set_result(await client.closed())

        closing = asyncio.get_running_loop().create_future()
        async with RawServer(behavior) as server:
            async with everwire.connect(server.url, max_size=10_000) as connection:
                with pytest.raises(everwire.ConnectionClosedError):
                    await connection.recv()
                assert (await closing).code == 1009


async def stall(client, data, most):
    """Send the same again and again until TCP stops it; how often it was sent, the last perhaps in part."""
    for count in range(most):
        client.write(data)
        try:
            await asyncio.wait_for(client.writer.drain(), 300 * MS)
        except TimeoutError:
            return count + 1
    raise AssertionError("the server never stopped reading")


def gated():
    """A handler that takes nothing until the gate opens, and then everything; and what it took."""
    gate, taken = asyncio.Event(), []

    async def handler(connection):
        await gate.wait()
        async for message in connection:
            taken.append(message)

    return handler, gate, taken


class TestQueueMessages:
    async def test_beyond_it_reading_stops_and_tcp_stops_the_sender(self, serving):
        handler, gate, taken = gated()
        async with serving(handler, limits={"queue_messages": 4}) as served:
            client = await served.open()
            before = _core.memory_held()
            data = encode(BINARY, b"m" * (8 * KIB))
            sent = await stall(client, data, 10_000)
            held = _core.memory_held() - before
            # What a read brought before it stopped may come on top.
            assert 4 * 8 * KIB <= held <= 4 * 8 * KIB + 256 * KIB
            await asyncio.sleep(100 * MS)
            assert _core.memory_held() - before == held
            gate.set()
            await asyncio.wait_for(client.writer.drain(), 5000 * MS)
            await eventually(lambda: len(taken) == sent)
            assert set(taken) == {b"m" * (8 * KIB)}
            assert _core.memory_held() <= before

    async def test_tiny_messages_cost_no_more(self, serving):
        handler, gate, taken = gated()
        async with serving(handler, limits={"queue_messages": 4}) as served:
            client = await served.open()
            before = _core.memory_held()
            sent = await stall(client, encode(BINARY, b"m") * 10_000, 1000)
            assert _core.memory_held() - before <= 256 * KIB
            gate.set()
            await eventually(lambda: len(taken) == sent * 10_000, 30_000 * MS)

    async def test_a_client_that_takes_nothing_stops_its_server_too(self):
        async def behavior(client, head):
            client.write(answer(head))
            stalled.set_result(await stall(client, encode(BINARY, bytes(10_000), key=None), 10_000))
            await client.reader.read()

        stalled = asyncio.get_running_loop().create_future()
        before = _core.memory_held()
        async with RawServer(behavior) as server:
            async with everwire.connect(server.url, max_queue=4, close_timeout=200 * MS) as connection:
                count = await stalled
                assert _core.memory_held() - before < 512 * KIB
                for _ in range(count - 1):
                    assert len(await connection.recv()) == 10_000
                connection.abort()


class TestQueueBytes:
    async def test_beyond_it_reading_stops_though_the_messages_are_few(self, serving):
        handler, gate, taken = gated()
        async with serving(handler, limits={"queue_messages": 1000, "queue_bytes": 100 * KIB}) as served:
            client = await served.open()
            before = _core.memory_held()
            sent = await stall(client, encode(BINARY, b"m" * (60 * KIB)), 1000)
            held = _core.memory_held() - before
            assert 100 * KIB <= held <= 100 * KIB + 2 * 60 * KIB + 256 * KIB
            gate.set()
            await asyncio.wait_for(client.writer.drain(), 5000 * MS)
            await eventually(lambda: len(taken) == sent)
            assert _core.memory_held() <= before

    async def test_a_callback_that_pauses_stops_the_sender_as_well(self, serving):
        taken = []

        async def handler(connection):
            def take(connection, message):
                taken.append(message)
                connection.pause()

            connection.on_message = take
            await connection.wait_closed()

        async with serving(handler, limits={"queue_bytes": 100 * KIB}) as served:
            client = await served.open()
            before = _core.memory_held()
            sent = await stall(client, encode(BINARY, b"m" * (60 * KIB)), 1000)
            assert len(taken) == 1
            assert _core.memory_held() - before <= 512 * KIB

            def take(connection, message):
                taken.append(message)

            (connection,) = served.connections
            connection.on_message = take
            connection.resume()
            await eventually(lambda: len(taken) == sent)


class TestPingsPerSecond:
    async def test_ten_seconds_worth_is_answered_then_1008(self, serving):
        async with serving(limits={"pings_per_second": 3}) as served:
            client = await served.open()
            client.write(encode(PING, b"!") * 100)
            answered = 0
            while (frame := await client.frame()).opcode == PONG:
                answered += 1
            assert (answered, frame.code, frame.reason) == (30, 1008, "too many pings")

    async def test_a_flood_by_a_peer_that_never_reads_is_bounded(self, serving):
        limits = {"pings_per_second": 10**9, "write_high": 16 * KIB}
        async with serving(limits=limits) as served:
            before = _core.memory_held()
            # Connections inherit it: what the kernel takes, which may be megabytes, says nothing about us.
            served.server.sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * KIB)
            client = await served.open(receive_buffer=4096)
            client.writer.transport.pause_reading()
            peak = 0

            async def flood():
                nonlocal peak
                client.write(encode(PING, bytes(125)) * 500)
                await asyncio.wait_for(client.writer.drain(), 5000 * MS)
                await asyncio.sleep(0)
                peak = max(peak, _core.memory_held() - before)

            async with asyncio.timeout(10_000 * MS):
                # The kernel takes some megabytes before anything waits here.
                while served.connections[0].write_buffer_size < 16 * KIB:
                    await flood()
            for _ in range(200):
                await flood()
            client.send(PING, b"newest")
            assert peak <= 16 * KIB + 256 * KIB
            assert served.connections[0].write_buffer_size <= 16 * KIB + 200
            # The newest is answered once the peer reads: the others it must have forgotten (RFC 6455 section 5.5.3).
            client.writer.transport.resume_reading()
            while (await client.frame()).payload != b"newest":
                pass

    async def test_a_client_does_not_answer_a_flood_of_its_server_either(self):
        async def behavior(client, head):
            client.write(answer(head) + encode(PING, b"?", key=None) * 200)
            closing.set_result(await client.closed())

        closing = asyncio.get_running_loop().create_future()
        async with RawServer(behavior) as server:
            limits = everwire.Limits(pings_per_second=10)
            async with everwire.connect(server.url, limits=limits) as connection:
                await connection.wait_closed()
                assert (await closing).code == 1008
