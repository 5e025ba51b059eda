"""Streaming: a message received in parts, as they come."""

from __future__ import annotations

import asyncio
import contextlib
import random

import pytest
from peer import frames
from peer.client import RawClient
from peer.timing import MS

import everwire

NOISE = random.Random(0).randbytes(700_000)


async def collect(connection, **options):
    return [part async for part in connection.recv_streaming(**options)]


async def test_the_parts_of_a_message_are_the_message(wire):
    async with wire.pair() as (client, server):
        for message in (NOISE, "é" * 300_000, "", b"", "short"):
            sending = asyncio.ensure_future(client.send(message))
            parts = await collect(server)
            assert all(type(part) is type(message) for part in parts)
            assert type(message)().join(parts) == message
            await sending


async def test_a_part_comes_before_the_message_is_complete(wire):
    async with wire.pair() as (client, server):
        going = asyncio.Event()

        async def slowly():
            yield "first" * 500
            yield "second" * 500
            await going.wait()
            yield "third" * 500

        sending = asyncio.ensure_future(client.send(slowly()))
        received = ""
        async for part in server.recv_streaming():
            received += part
            if len(received) >= 2500:
                going.set()
        assert received == "first" * 500 + "second" * 500 + "third" * 500
        await sending


async def test_texts_are_cut_between_characters(line):
    async with line.serve(lambda connection: None) as server:
        async with await RawClient.open(server.sockets[0].getsockname()) as client:
            (connection,) = server.connections
            text = "aé世🎉" * 3
            received = asyncio.ensure_future(collect(connection))
            for at, byte in enumerate(text.encode()):
                client.send(frames.TEXT if at == 0 else frames.CONTINUATION, bytes([byte]), fin=False)
                await client.writer.drain()
                await asyncio.sleep(MS)
            client.send(frames.CONTINUATION)
            parts = await received
            assert "".join(parts) == text
            assert len(parts) > 3


async def test_parts_are_decoded_or_not_as_asked(line):
    async with line.pair() as (client, server):
        await client.send("é")
        assert b"".join(await collect(server, decode=False)) == "é".encode()
        await client.send("é".encode())
        assert "".join(await collect(server, decode=True)) == "é"


async def test_recv_and_streaming_take_turns(wire):
    async with wire.pair() as (client, server):

        async def send():
            for number in range(60):
                await client.send([str(number), "x" * (number * 500)])

        sending = asyncio.ensure_future(send())
        for number in range(60):
            expected = str(number) + "x" * (number * 500)
            if number % 3:
                assert "".join(await collect(server)) == expected
            else:
                assert await server.recv() == expected
        await sending


async def test_leaving_before_the_end_drops_the_rest_of_the_message(wire):
    async with wire.pair() as (client, server):

        async def send():
            for number in range(30):
                await client.send(NOISE[: 23_456 * number] + b".")
                await client.send(f"after {number}")

        sending = asyncio.ensure_future(send())
        for number in range(30):
            parts = server.recv_streaming()
            async for part in parts:
                assert NOISE.startswith(part) or part.endswith(b".")
                break
            await parts.aclose()
            assert await asyncio.wait_for(server.recv(), 5000 * MS) == f"after {number}"
        await sending


async def test_a_message_that_is_dropped_while_its_parts_fill_the_queue_does_not_stop_reading(line):
    async with line.serve(lambda connection: None, max_queue=4) as server:
        async with await RawClient.open(server.sockets[0].getsockname()) as client:
            (connection,) = server.connections
            parts = connection.recv_streaming()
            first = asyncio.ensure_future(anext(parts))
            await asyncio.sleep(0)
            for number in range(40):
                client.send(frames.CONTINUATION if number else frames.BINARY, b"part", fin=False)
                await client.writer.drain()
                await asyncio.sleep(MS)
            assert await first == b"part"
            await parts.aclose()
            client.send(frames.CONTINUATION, b"end")
            client.send(frames.TEXT, b"next")
            assert await asyncio.wait_for(connection.recv(), 5000 * MS) == "next"


async def test_cancelling_the_wait_for_the_first_part_loses_nothing(wire):
    async with wire.pair() as (client, server):
        for _ in range(3):
            receiving = asyncio.ensure_future(collect(server))
            await asyncio.sleep(2 * MS)
            receiving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await receiving
        await client.send(NOISE)
        assert b"".join(await collect(server)) == NOISE
        receiving = asyncio.ensure_future(collect(server))
        await asyncio.sleep(2 * MS)
        receiving.cancel()
        await client.send("whole")
        assert await server.recv() == "whole"


async def test_streaming_beside_another_receiver_is_a_mistake(line):
    async with line.pair() as (client, server):
        receiving = asyncio.ensure_future(server.recv())
        await asyncio.sleep(0)
        with pytest.raises(everwire.UsageError):
            await collect(server)
        await client.send(["a", "b"])
        assert await receiving == "ab"


async def test_a_connection_that_ends_within_a_message_raises(wire):
    async with wire.pair() as (client, server):

        async def endless():
            while True:
                yield NOISE[:5000]

        sending = asyncio.ensure_future(client.send(endless()))
        received = 0
        with pytest.raises(everwire.ConnectionClosedError):
            async for part in server.recv_streaming():
                received += len(part)
                if received > 50_000:
                    client.abort()
        with pytest.raises(everwire.ConnectionClosedError):
            await sending


async def test_streaming_before_the_end_raises_after_it(line):
    async with line.pair() as (client, server):
        await client.close()
        with pytest.raises(everwire.ConnectionClosedOK):
            await collect(server)


async def test_a_streamed_message_is_bounded_by_the_message_limit(line):
    async with line.pair(serve={"max_size": 100_000}) as (client, server):
        sending = asyncio.ensure_future(client.send(NOISE[i : i + 10_000] for i in range(0, 200_000, 10_000)))
        with pytest.raises(everwire.ConnectionClosedError) as raised:
            await collect(server)
        assert raised.value.sent.code == 1009
        with pytest.raises(everwire.ConnectionClosedError):
            await sending


async def test_a_streamed_message_that_nobody_reads_stops_its_sender(wire):
    async with wire.pair(serve={"max_queue": 4, "max_size": None}) as (client, server):
        sent = 0

        async def endless():
            nonlocal sent
            while sent < 60_000_000:
                yield NOISE
                sent += len(NOISE)

        sending = asyncio.ensure_future(client.send(endless()))
        parts = server.recv_streaming()
        received = len(await anext(parts))
        await asyncio.sleep(300 * MS)
        assert sent < 30_000_000
        async for part in parts:
            received += len(part)
        await sending
        assert received == sent
