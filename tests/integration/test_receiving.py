"""Receiving: what recv() and iteration hand out, in which order, and how they end."""

from __future__ import annotations

import asyncio

import pytest
from peer import frames
from peer.client import RawClient
from peer.timing import MS

import everwire


async def test_text_arrives_as_str_and_binary_as_bytes(wire):
    async with wire.pair() as (client, server):
        for message in ("héllo, 世界 🎉", b"\x00\xff" * 1000, "", b"", "x" * 70_000, bytes(200_000)):
            await client.send(message)
            assert await server.recv() == message
            await server.send(message)
            assert await client.recv() == message


async def test_text_is_decoded_or_not_as_asked(line):
    async with line.pair() as (client, server):
        for message in ("é", "é", b"\xc3\xa9", b"\xc3\xa9"):
            await client.send(message)
        assert await server.recv(decode=True) == "é"
        assert await server.recv(decode=False) == b"\xc3\xa9"
        assert await server.recv(decode=True) == "é"
        assert await server.recv(decode=False) == b"\xc3\xa9"


async def test_messages_keep_their_order(wire):
    async with wire.pair() as (client, server):

        async def send():
            for number in range(2000):
                await client.send(str(number) + "." * (number % 3000))

        sending = asyncio.ensure_future(send())
        for number in range(2000):
            assert (await server.recv()).rstrip(".") == str(number)
        await sending


@pytest.mark.parametrize("code", [1000, 1001])
async def test_iteration_ends_with_a_normal_closure(wire, code):
    received = []
    ended = asyncio.Event()

    async def handler(connection):
        async for message in connection:
            received.append(message)
        ended.set()

    async with wire.serve(handler) as server, wire.connect(server) as client:
        await client.send("one")
        await client.send("two")
        await client.close(code)
        await ended.wait()
    assert received == ["one", "two"]


async def test_iteration_raises_after_another_closure(wire):
    async with wire.pair() as (client, server):
        await client.send("last")
        await client.close(4000, "enough")
        received = []
        with pytest.raises(everwire.ConnectionClosedError) as raised:
            async for message in server:
                received.append(message)
        assert received == ["last"]
        assert raised.value.rcvd == everwire.Close(4000, "enough")


async def test_what_came_before_the_closure_is_received_after_it(wire):
    async with wire.pair() as (client, server):
        for number in range(5):
            await client.send(str(number))
        await client.close()
        await server.wait_closed()
        assert server.state is everwire.State.CLOSED
        assert [await server.recv() for _ in range(5)] == list("01234")
        with pytest.raises(everwire.ConnectionClosedOK):
            await server.recv()


async def test_messages_and_closure_in_one_segment_keep_their_order(line):
    received = []
    ended = asyncio.Event()

    async def handler(connection):
        async for message in connection:
            received.append(message)
        ended.set()

    async with line.serve(handler) as server, await RawClient.open(server.sockets[0].getsockname()) as client:
        client.write(b"".join(frames.encode(frames.TEXT, b"%d" % n) for n in range(100)) + frames.close())
        await ended.wait()
    assert received == [str(n) for n in range(100)]


async def test_a_second_receiver_is_a_mistake(line):
    async with line.pair() as (client, server):
        first = asyncio.ensure_future(server.recv())
        await asyncio.sleep(0)
        with pytest.raises(everwire.UsageError, match="already running"):
            await server.recv()
        with pytest.raises(everwire.UsageError, match="already running"):
            async for _ in server:
                pass
        await client.send("for the first")
        assert await first == "for the first"


async def test_recv_takes_its_message_when_driven_and_not_at_the_call(line):
    async with line.pair() as (client, server):
        await client.send("one")
        early = server.recv()
        assert await server.recv() == "one"
        await client.send("two")
        assert await early == "two"
        never = server.recv()
        await client.send("three")
        del never
        assert await server.recv() == "three"


async def test_a_recv_is_awaited_once(line):
    async with line.pair() as (client, server):
        await client.send("one")
        coroutine = server.recv()
        assert await coroutine == "one"
        with pytest.raises(RuntimeError, match="already awaited"):
            await coroutine


async def test_a_message_at_the_limit_passes_and_one_byte_more_closes_with_1009(wire):
    async with wire.pair(serve={"max_size": 5000}) as (client, server):
        await client.send("x" * 5000)
        assert await server.recv() == "x" * 5000
        await client.send("x" * 5001)
        with pytest.raises(everwire.ConnectionClosedError) as raised:
            await server.recv()
        assert raised.value.sent is not None
        assert raised.value.sent.code == 1009
        assert isinstance(raised.value.__cause__, everwire.LimitExceeded)
        await client.wait_closed()
        assert client.close_code == 1009


async def test_messages_of_any_size_without_a_limit(wire):
    async with wire.pair(serve={"max_size": None}) as (client, server):
        message = bytes(range(256)) * 4096 * 5
        sending = asyncio.ensure_future(client.send(message))
        assert await server.recv() == message
        await sending


async def test_a_receiver_that_waits_is_told_of_an_abrupt_end(wire):
    async with wire.pair() as (client, server):
        waiting = asyncio.ensure_future(server.recv())
        await asyncio.sleep(0)
        client.abort()
        with pytest.raises(everwire.ConnectionClosedError) as raised:
            await asyncio.wait_for(waiting, 5000 * MS)
        assert (raised.value.rcvd, raised.value.sent) == (None, None)
        assert server.close_code == 1006
        assert raised.value.clean is False


async def test_a_receiver_gives_others_their_turn(line):
    turns = 0

    async def count():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with line.pair() as (client, server):
        counting = asyncio.ensure_future(count())

        async def send():
            for _ in range(5000):
                await client.send("x")
                await asyncio.sleep(0)

        sending = asyncio.ensure_future(send())
        for _ in range(5000):
            await server.recv()
        await sending
        counting.cancel()
        assert turns > 1000


async def arrived(client, server, *messages):
    """Send messages, and wait until they wait at the other end."""
    for message in messages:
        await client.send(message)
    await (await client.ping())


async def test_a_value_that_somebody_keeps_is_not_changed_by_the_next_message(wire):
    async with wire.pair() as (client, server):
        await arrived(client, server, "one", "two", b"three", "4" * 100_000)
        kept = []
        for _ in range(4):
            with pytest.raises(StopIteration) as raised:
                next(server.recv())
            kept.append(raised.value)
        assert [stop.value for stop in kept] == ["one", "two", b"three", "4" * 100_000]


async def test_each_awaitable_of_an_iteration_that_is_kept_is_its_own(wire):
    async with wire.pair() as (client, server):
        await arrived(client, server, "one", "two", "three")
        iteration = aiter(server)
        first, second = anext(iteration), anext(iteration)
        assert first is not second
        assert (await first, await second, await anext(iteration)) == ("one", "two", "three")
        with pytest.raises(RuntimeError, match="already awaited"):
            await first


async def test_an_awaitable_of_an_iteration_that_is_given_up_while_it_waits_holds_nobody_up(wire):
    async with wire.pair() as (client, server):
        iteration = aiter(server)
        next(anext(iteration).__await__())
        waiting = asyncio.ensure_future(anext(iteration))
        await client.send("one")
        assert await asyncio.wait_for(waiting, 5000 * MS) == "one"
