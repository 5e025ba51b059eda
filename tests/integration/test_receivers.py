"""One receiver at a time, in whatever way it receives; and one after another, in any order."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from peer.timing import MS

import everwire


async def by_recv(connection):
    return await connection.recv()


async def by_iteration(connection):
    async for message in connection:
        return message
    return None


async def by_streaming(connection):
    return "".join([part async for part in connection.recv_streaming()])


WAYS = {"recv": by_recv, "iteration": by_iteration, "recv_streaming": by_streaming}


async def waiting(coroutine):
    task = asyncio.ensure_future(coroutine)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not task.done()
    return task


@pytest.mark.parametrize("second", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("first", WAYS.values(), ids=WAYS)
async def test_a_second_receiver_is_a_mistake_that_the_first_does_not_notice(line, first, second):
    async with line.pair() as (client, server):
        receiving = await waiting(first(server))
        for _ in range(2):
            with pytest.raises(everwire.UsageError, match="already running"):
                await second(server)
        await client.send("for the first")
        assert await receiving == "for the first"
        await client.send("for the next")
        assert await second(server) == "for the next"


@pytest.mark.parametrize("second", WAYS.values(), ids=WAYS)
async def test_so_it_is_between_two_parts(line, second):
    async with line.pair() as (client, server):
        going = asyncio.Event()

        async def slowly():
            yield "a"
            await going.wait()
            yield "b"

        sending = asyncio.ensure_future(client.send(slowly()))
        parts = server.recv_streaming()
        assert await anext(parts) == "a"
        with pytest.raises(everwire.UsageError, match="already running"):
            await second(server)
        going.set()
        assert "".join([part async for part in parts]) == "b"
        await sending
        await client.send("next")
        assert await second(server) == "next"


@pytest.mark.parametrize("second", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("first", WAYS.values(), ids=WAYS)
async def test_a_receiver_that_is_told_of_the_end_leaves_the_place_free(line, first, second):
    async with line.pair() as (client, server):
        receiving = await waiting(first(server))
        await client.close(4000)
        with pytest.raises(everwire.ConnectionClosedError):
            await receiving
        for _ in range(2):
            with pytest.raises(everwire.ConnectionClosedError):
                await second(server)


@pytest.mark.parametrize("second", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("first", WAYS.values(), ids=WAYS)
async def test_a_receiver_that_is_cancelled_leaves_the_place_and_the_message(wire, first, second):
    async with wire.pair() as (client, server):
        for number in range(10):
            receiving = await waiting(first(server))
            receiving.cancel()
            if number % 2:
                # The next one comes before the one that was cancelled has noticed.
                await asyncio.sleep(0)
            next_one = asyncio.ensure_future(second(server))
            await asyncio.sleep(0)
            await client.send(str(number))
            assert await asyncio.wait_for(next_one, 5000 * MS) == str(number)
            with contextlib.suppress(asyncio.CancelledError):
                await receiving


@pytest.mark.parametrize("first", WAYS.values(), ids=WAYS)
async def test_a_message_that_comes_just_before_the_receiver_is_cancelled_is_kept_or_received(wire, first):
    async with wire.pair() as (client, server):
        received = []
        for number in range(40):
            receiving = await waiting(first(server))
            await client.send(str(number))
            for _ in range(number % 5):
                await asyncio.sleep(0)
            receiving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                received.append(await receiving)
                continue
            received.append(await asyncio.wait_for(server.recv(), 5000 * MS))
        assert received == [str(number) for number in range(40)]


async def test_the_same_parts_are_not_received_by_two(line):
    async with line.pair() as (client, server):
        parts = server.recv_streaming()
        first = await waiting(anext(parts))
        with pytest.raises(everwire.UsageError, match="already running"):
            await anext(parts)
        await client.send(["a", "b"])
        assert await first == "a"
        assert "".join([part async for part in parts]) == "b"


async def test_where_it_was_is_known_after_the_end_if_somebody_asked(wire):
    async with wire.pair() as (client, server):
        here, there = server.local_address, server.remote_address
        await client.close()
        await server.wait_closed()
        assert (server.local_address, server.remote_address) == (here, there)
        # A client knows it from the beginning.
        assert client.local_address == there
        assert client.remote_address == here


async def test_where_it_was_is_none_after_the_end_if_nobody_asked(line):
    async with line.pair() as (client, server):
        await client.close()
        await server.wait_closed()
        assert server.local_address is None


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
async def test_beside_a_callback_nobody_waits_for_a_message(line, way):
    async with line.pair() as (client, server):
        heard = []
        await client.send("before the callback")
        await asyncio.sleep(50 * MS)
        server.pause()
        server.on_message = lambda _, message: heard.append(message)
        # What waits already can be taken.
        assert await way(server) == "before the callback"
        server.resume()
        with pytest.raises(everwire.UsageError, match="set it to None"):
            await way(server)
        await client.send("for the callback")
        await (await client.ping())
        assert heard == ["for the callback"]
        server.on_message = None
        await client.send("for a task")
        assert await way(server) == "for a task"


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
async def test_a_callback_is_not_set_while_a_task_waits(line, way):
    async with line.pair() as (client, server):
        receiving = await waiting(way(server))
        with pytest.raises(everwire.UsageError, match="a task receives"):
            server.on_message = print
        await client.send("for the task")
        assert await receiving == "for the task"
        receiving = await waiting(way(server))
        receiving.cancel()
        heard = []
        server.on_message = lambda _, message: heard.append(message)
        with contextlib.suppress(asyncio.CancelledError):
            await receiving
        await client.send("for the callback")
        await (await client.ping())
        assert heard == ["for the callback"]
