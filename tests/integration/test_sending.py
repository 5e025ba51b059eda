"""Sending: what send() takes, when it waits, when it fails, and when it leaves."""

from __future__ import annotations

import array
import asyncio
import random
import threading
import time

import pytest
from peer.client import RawClient
from peer.timing import MS

import everwire
from everwire import Limits

NOISE = random.Random(0).randbytes(50_000)
"""A message that does not compress."""


async def test_bytes_like_objects_are_binary_messages(line):
    async with line.pair() as (client, server):
        numbers = array.array("i", range(5))
        for message in (bytearray(b"ab"), memoryview(b"ab"), memoryview(b"a_b_")[::2], numbers, memoryview(numbers)):
            await client.send(message)
            assert await server.recv() == bytes(memoryview(message).tobytes())


async def test_the_kind_of_message_can_be_overruled(line):
    async with line.pair() as (client, server):
        await client.send("é".encode(), text=True)
        assert await server.recv() == "é"
        await client.send("é", text=False)
        assert await server.recv() == "é".encode()
        client.send_nowait("é".encode(), text=True)
        assert await server.recv() == "é"
        with pytest.raises(ValueError, match="UTF-8"):
            await client.send(b"\xff", text=True)
        await client.send("goes on")
        assert await server.recv() == "goes on"


@pytest.mark.parametrize("wrong", [None, 1, 1.5, object()])
async def test_other_objects_are_refused_and_the_connection_stays_open(line, wrong):
    async with line.pair() as (client, server):
        with pytest.raises(TypeError):
            await client.send(wrong)
        with pytest.raises(TypeError):
            client.send_nowait(wrong)
        await client.send("goes on")
        assert await server.recv() == "goes on"


async def test_a_dict_is_refused_with_advice(line):
    async with line.pair() as (client, _):
        with pytest.raises(TypeError, match=r"json\.dumps"):
            await client.send({"a": "b"})


async def test_text_that_is_no_unicode_is_refused(line):
    async with line.pair() as (client, server):
        with pytest.raises(UnicodeEncodeError):
            await client.send("\ud800")
        await client.send("goes on")
        assert await server.recv() == "goes on"


async def test_a_message_can_be_changed_after_it_was_sent(line):
    async with line.pair() as (client, server):
        message = bytearray(b"before")
        await client.send(message)
        message[:] = b"after!"
        assert await server.recv() == b"before"


async def test_sending_after_the_end_raises_how_it_ended(wire):
    async with wire.pair() as (client, server):
        await server.close(4000, "enough")
        for send in (client.send("x"), client.send(["x", "y"])):
            with pytest.raises(everwire.ConnectionClosedError) as raised:
                await send
            assert raised.value.rcvd == everwire.Close(4000, "enough")
        with pytest.raises(everwire.ConnectionClosedError):
            client.send_nowait("x")
        with pytest.raises(everwire.ConnectionClosedError):
            await client.ping()
        with pytest.raises(everwire.ConnectionClosedError):
            await client.pong()


async def test_a_send_above_the_mark_waits_until_output_has_fallen_to_a_quarter(wire):
    async with wire.pair(limits=Limits(write_high=100_000), serve={"max_queue": 1}) as (client, server):
        count = 0
        while True:
            sending = asyncio.ensure_future(client.send(NOISE))
            count += 1
            await asyncio.sleep(2 * MS)
            if not sending.done():
                break
        assert client.write_buffer_size > 100_000
        before = client.write_buffer_size
        await asyncio.sleep(20 * MS)
        assert client.write_buffer_size == before
        for _ in range(count - 1):
            assert await server.recv() == NOISE
            if sending.done():
                break
        await sending
        assert client.write_buffer_size <= 25_000 + 50_014


async def test_a_send_that_waits_is_told_when_the_connection_ends(wire):
    async with wire.pair(serve={"max_queue": 1}) as (client, server):
        while not client._is_full():
            client.send_nowait(NOISE)
            await asyncio.sleep(0)
        sending = asyncio.ensure_future(client.send("late"))
        await asyncio.sleep(5 * MS)
        assert not sending.done()
        server.abort()
        with pytest.raises(everwire.ConnectionClosedError):
            await asyncio.wait_for(sending, 5000 * MS)


async def test_send_nowait_fails_beyond_the_output_limit_and_the_connection_stays_open(wire):
    async with wire.pair(limits=Limits(output=300_000), serve={"max_queue": 1}) as (client, server):
        count = 0
        with pytest.raises(everwire.LimitExceeded, match="output"):
            for _ in range(10_000):
                client.send_nowait(NOISE[:10_000])
                count += 1
                await asyncio.sleep(0)
        assert client.write_buffer_size <= 300_000
        assert client.state is everwire.State.OPEN
        for _ in range(count):
            assert await server.recv() == NOISE[:10_000]
        await client.send("goes on")
        assert await server.recv() == "goes on"


async def test_a_message_arrives_before_a_computation_that_follows_it(wire):
    """``await ws.send("working"); compute()``: the message leaves at once."""
    arrived = threading.Event()
    times = {}

    async def handler(connection):
        await connection.recv()
        await connection.send("working")
        time.sleep(0.5)  # noqa: ASYNC251 - a computation
        times["computed"] = time.monotonic()
        await connection.send("done")

    async def look(url):
        async with everwire.connect(url, ssl=wire._for_client(), compression=None) as client:
            await client.send("go")
            assert await client.recv() == "working"
            times["arrived"] = time.monotonic()
            arrived.set()
            assert await client.recv() == "done"

    async with wire.serve(handler) as server:
        thread = threading.Thread(target=lambda: asyncio.run(look(wire.url(server))))
        thread.start()
        while thread.is_alive():
            await asyncio.sleep(5 * MS)
    assert times["arrived"] < times["computed"] - 0.2


async def test_several_messages_before_a_computation_are_flushed_on_request(line):
    """The first message of a turn leaves at once; ``flush=True`` makes every other one leave at once too."""
    async with line.serve(lambda connection: None) as server:
        client = await RawClient.open(server.sockets[0].getsockname())
        async with client:
            (connection,) = server.connections
            connection.send_nowait("one")
            connection.send_nowait("two")
            connection.send_nowait("three", flush=True)
            assert connection.write_buffer_size == 0
            assert [(await client.frame()).payload for _ in range(3)] == [b"one", b"two", b"three"]


async def test_write_buffer_size_is_what_waits_for_the_peer(wire):
    async with wire.pair() as (client, server):
        await client.send("x")
        await server.recv()
        assert client.write_buffer_size == 0


async def test_large_messages_both_ways_at_once_do_not_block_each_other(wire):
    message = b"\x5a" * 900_000
    async with wire.pair() as (client, server):

        async def send(connection):
            for _ in range(20):
                await connection.send(message)

        async def receive(connection):
            for _ in range(20):
                assert await connection.recv() == message

        async with asyncio.timeout(20_000 * MS), asyncio.TaskGroup() as group:
            for end in (client, server):
                group.create_task(send(end))
                group.create_task(receive(end))
