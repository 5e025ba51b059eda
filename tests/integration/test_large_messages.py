"""Messages larger than ``limits.output``: whoever waits for them may send any size, from memory of its own."""

from __future__ import annotations

import array
import asyncio
import random

import pytest
from peer.client import RawClient
from peer.frames import BINARY, CONTINUATION, PONG, TEXT
from peer.timing import MS, eventually

import everwire
from everwire import Limits, _core

KIB = 1024
MIB = 1024 * KIB

NOISE = random.Random(0).randbytes(100 * KIB)
"""Bytes that do not compress."""
LARGE = NOISE * 175
"""More than ``limits.output`` by default."""
TIGHT = Limits(output=600 * KIB)
WITHOUT_END = {"max_size": None}


class TestAnySize:
    async def test_a_message_beyond_the_output_limit_arrives_at_a_peer_that_reads(self, wire):
        assert len(LARGE) > Limits().output
        async with wire.pair(serve=WITHOUT_END, **WITHOUT_END) as (client, server):
            for sender, receiver in ((client, server), (server, client)):
                sending = asyncio.ensure_future(sender.send(LARGE))
                assert await receiver.recv() == LARGE
                await sending
                await sender.send("goes on")
                assert await receiver.recv() == "goes on"

    async def test_an_echo_server_answers_the_largest_message_that_it_takes(self, wire):
        async def echo(connection):
            async for message in connection:
                await connection.send(message)

        size = 16 * MIB
        async with wire.serve(echo, max_size=size) as server:
            async with wire.connect(server, max_size=size) as client:
                message = LARGE[:size]
                sending = asyncio.ensure_future(client.send(message))
                assert await client.recv() == message
                await sending

    async def test_all_that_can_be_sent(self, wire):
        text = "aé🙂" * 200_000
        numbers = array.array("i", range(400_000))
        async with wire.pair(limits=TIGHT, serve={"limits": TIGHT, **WITHOUT_END}, **WITHOUT_END) as (client, server):
            for message, expected in (
                (text, text),
                ("x" * MIB, "x" * MIB),
                (bytearray(NOISE * 10), NOISE * 10),
                (memoryview(NOISE * 20)[::2], (NOISE * 20)[::2]),
                (numbers, numbers.tobytes()),
                ([NOISE * 10, b"", bytearray(NOISE * 10)], NOISE * 20),
                (["é" * MIB, "x"], "é" * MIB + "x"),
            ):
                for sender, receiver in ((client, server), (server, client)):
                    sending = asyncio.ensure_future(sender.send(message))
                    assert await receiver.recv() == expected
                    await sending

    @pytest.mark.parametrize("convert", [bytes, bytearray])
    async def test_the_kind_can_be_overruled(self, wire, convert):
        text = "aé🙂" * 200_000
        async with wire.pair(limits=TIGHT, serve=WITHOUT_END) as (client, server):
            for message, kind, expected in ((convert(text.encode()), True, text), (text, False, text.encode())):
                sending = asyncio.ensure_future(client.send(message, text=kind))
                assert await server.recv() == expected
                await sending
            with pytest.raises(ValueError, match=r"utf-8|UTF-8"):
                await client.send(convert(text.encode() + b"\xff"), text=True)
            await client.send("nothing of it was sent")
            assert await server.recv() == "nothing of it was sent"

    async def test_a_callback_gets_it_whole(self, wire):
        arrived = asyncio.get_running_loop().create_future()
        async with wire.pair(limits=TIGHT, serve=WITHOUT_END) as (client, server):
            server.on_message = lambda _, message: arrived.set_result(message)
            await client.send(NOISE * 20)
            assert await arrived == NOISE * 20

    async def test_it_goes_in_fragments_from_the_limit_on_and_in_one_frame_below(self, line):
        async with line.serve(lambda connection: None, limits=TIGHT, compression=None) as server:
            async with await RawClient.open(server.sockets[0].getsockname()) as client:
                (connection,) = server.connections
                for size, text in ((600 * KIB, False), (600 * KIB + 1, False), (601 * KIB, True)):
                    sending = asyncio.ensure_future(connection.send("x" * size if text else bytes(size)))
                    frames = [await client.frame()]
                    while not frames[-1].fin:
                        frames.append(await client.frame())
                    await sending
                    sizes = [256 * KIB, 256 * KIB, size - 512 * KIB] if size > 600 * KIB else [size]
                    assert [len(frame.payload) for frame in frames] == sizes
                    opcodes = [TEXT if text else BINARY] + [CONTINUATION] * (len(sizes) - 1)
                    assert [frame.opcode for frame in frames] == opcodes


class TestSlowReader:
    async def test_little_of_a_large_message_is_held_while_its_reader_is_slow(self, wire):
        async with wire.pair(serve=WITHOUT_END | {"max_queue": 1}) as (client, server):
            server.pause()
            held = _core.memory_held()
            message = NOISE * 250
            sending = asyncio.ensure_future(client.send(message))
            await asyncio.sleep(300 * MS)
            assert not sending.done()
            assert client.write_buffer_size <= 400 * KIB
            server.resume()
            most = 0
            receiving = asyncio.ensure_future(server.recv())
            while not receiving.done():
                await asyncio.sleep(0)
                most = max(most, client.write_buffer_size)
            assert await receiving == message
            assert most <= 400 * KIB
            await sending
            await eventually(lambda: _core.memory_held() <= held + 64 * KIB)

    async def test_pings_and_pongs_pass_between(self, line):
        async with line.serve(lambda connection: None, compression=None) as server:
            async with await RawClient.open(server.sockets[0].getsockname(), receive_buffer=4096) as client:
                (connection,) = server.connections
                client.writer.transport.pause_reading()
                sending = asyncio.ensure_future(connection.send(LARGE))
                await eventually(lambda: connection._is_full())
                ping = await connection.ping(b"in between")
                client.send(0x9, b"asked")
                client.writer.transport.resume_reading()
                seen = []
                while not seen or not seen[-1].fin or seen[-1].opcode > 2:
                    seen.append(await client.frame())
                    if seen[-1].opcode == 0x9:
                        client.send(PONG, seen[-1].payload)
                await sending
                await ping
                assert {0x9, PONG} <= {frame.opcode for frame in seen}

    async def test_other_messages_wait_for_its_end_and_keep_their_order(self, wire):
        async with wire.pair(limits=TIGHT, serve=WITHOUT_END | {"max_queue": 1}) as (client, server):
            server.pause()
            sending = [asyncio.ensure_future(client.send(LARGE))]
            await eventually(lambda: client._is_mid_message)
            others = ["one", NOISE * 20, ["th", "ree"], "four"]
            sending += [asyncio.ensure_future(client.send(message)) for message in others]
            with pytest.raises(everwire.UsageError, match=r"limits\.output"):
                client.send_nowait("cannot wait")
            with pytest.raises(ExceptionGroup) as raised:
                everwire.broadcast([client], "cannot wait", raise_exceptions=True)
            assert isinstance(raised.value.exceptions[0], everwire.UsageError)
            server.resume()
            assert [await server.recv() for _ in range(5)] == [LARGE, "one", NOISE * 20, "three", "four"]
            await asyncio.gather(*sending)

    async def test_the_end_of_the_connection_is_told(self, wire):
        async with wire.pair(serve=WITHOUT_END | {"max_queue": 1}) as (client, server):
            server.pause()
            sending = asyncio.ensure_future(client.send(NOISE * 250))
            await eventually(lambda: client._is_mid_message)
            server.abort()
            with pytest.raises(everwire.ConnectionClosedError):
                await asyncio.wait_for(sending, 10_000 * MS)


class TestCancellation:
    async def test_if_cancelled_while_waiting_nothing_was_queued(self, wire):
        async with wire.pair(limits=TIGHT, serve=WITHOUT_END | {"max_queue": 1}) as (client, server):
            server.pause()
            count = 0
            while not client._is_full():
                client.send_nowait(NOISE)
                count += 1
                await asyncio.sleep(0)
            waiting = client.write_buffer_size
            sending = asyncio.ensure_future(client.send(NOISE * 20))
            await asyncio.sleep(20 * MS)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            assert client.write_buffer_size <= waiting
            assert client.state is everwire.State.OPEN
            server.resume()
            following = asyncio.ensure_future(client.send("next"))
            assert [await server.recv() for _ in range(count + 1)] == [NOISE] * count + ["next"]
            await following

    async def test_cancelled_in_the_middle_it_closes_the_connection_with_1011(self, wire):
        async with wire.pair(serve=WITHOUT_END | {"max_queue": 1}, close_timeout=5000 * MS) as (client, server):
            server.pause()
            sending = asyncio.ensure_future(client.send(NOISE * 250))
            await eventually(lambda: client._is_mid_message)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            assert client.state is everwire.State.CLOSING
            server.resume()
            with pytest.raises(everwire.ConnectionClosedError) as raised:
                await server.recv()
            assert raised.value.rcvd == everwire.Close(1011, "error in fragmented message")
