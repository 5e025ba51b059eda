"""Cancellation: whatever is cancelled, no message is lost, doubled or half sent."""

from __future__ import annotations

import asyncio
import random

import pytest
from peer.timing import MS

import everwire
from everwire import Limits

NOISE = random.Random(0).randbytes(60_000)
"""A message that does not compress."""


async def fill(connection: everwire.Connection, message: bytes = NOISE) -> int:
    """Send until the peer, who does not receive, makes it wait; how many messages were queued."""
    count = 0
    while not connection._is_full():
        connection.send_nowait(message)
        count += 1
        await asyncio.sleep(0)
    return count


async def test_a_cancelled_recv_loses_nothing(wire):
    async with wire.pair() as (client, server):
        for number in range(50):
            receiving = asyncio.ensure_future(server.recv())
            for _ in range(number % 4):
                await asyncio.sleep(0)
            receiving.cancel()
            await asyncio.gather(receiving, return_exceptions=True)
            await client.send(str(number))
            assert await server.recv() == str(number)


async def test_a_recv_cancelled_while_messages_pour_in_loses_and_doubles_nothing(wire):
    async with wire.pair() as (client, server):

        async def send():
            for number in range(1000):
                await client.send(str(number))
                if number % 7 == 0:
                    await asyncio.sleep(0)

        sending = asyncio.ensure_future(send())
        received = []
        random.seed(1)
        while len(received) < 1000:
            receiving = asyncio.ensure_future(server.recv())
            for _ in range(random.randrange(3)):
                await asyncio.sleep(0)
            receiving.cancel()
            (result,) = await asyncio.gather(receiving, return_exceptions=True)
            if not isinstance(result, BaseException):
                received.append(result)
        await sending
        assert received == [str(number) for number in range(1000)]


async def test_recv_in_wait_for_and_timeout_loses_nothing(wire):
    async with wire.pair() as (client, server):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(server.recv(), 5 * MS)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5 * MS):
                await server.recv()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5 * MS):
                async for _ in server:
                    pass
        await client.send("still here")
        assert await asyncio.wait_for(server.recv(), 5000 * MS) == "still here"


async def test_recv_runs_in_a_task_a_gathering_and_a_task_group(wire):
    async with wire.pair() as (client, server):
        await client.send("one")
        await server.send("uno")
        assert await asyncio.gather(server.recv(), client.recv()) == ["one", "uno"]
        await client.send("two")
        assert await asyncio.create_task(server.recv()) == "two"
        async with asyncio.TaskGroup() as group:
            receiving = group.create_task(server.recv())
            group.create_task(client.send("three"))
        assert receiving.result() == "three"
        done, pending = await asyncio.wait([asyncio.ensure_future(server.recv())], timeout=5 * MS)
        assert not done
        pending.pop().cancel()
        await asyncio.shield(client.send("four"))
        assert await server.recv() == "four"


async def test_send_runs_in_a_task_a_gathering_and_a_task_group(wire):
    async with wire.pair() as (client, server):
        await asyncio.gather(*(client.send(str(number)) for number in range(3)))
        await asyncio.create_task(client.send("3"))
        await asyncio.wait_for(client.send("4"), 5000 * MS)
        async with asyncio.TaskGroup() as group:
            group.create_task(client.send("5"))
        async with asyncio.timeout(5000 * MS):
            await client.send("6")
        assert [await server.recv() for _ in range(7)] == list("0123456")


async def test_close_runs_in_a_task_and_with_a_timeout(wire):
    async with wire.pair() as (client, server):
        await asyncio.gather(asyncio.create_task(client.close()), asyncio.wait_for(server.close(), 5000 * MS))
        async with asyncio.TaskGroup() as group:
            group.create_task(client.close())
        assert (client.close_code, server.close_code) == (1000, 1000)


async def test_a_message_sent_below_the_mark_is_queued_even_if_nobody_awaits_it(line):
    async with line.pair() as (client, server):
        sending = asyncio.ensure_future(client.send("sent"))
        sending.cancel()
        assert await server.recv() == "sent"
        await asyncio.gather(sending, return_exceptions=True)


async def test_a_send_cancelled_while_waiting_queued_nothing(wire):
    limits = Limits(write_high=65_536)
    async with wire.pair(limits=limits, serve={"max_queue": 1}) as (client, server):
        before = await fill(client)
        sending = [asyncio.ensure_future(client.send(b"never %d" % number)) for number in range(5)]
        await asyncio.sleep(10 * MS)
        assert not any(task.done() for task in sending)
        for task in sending:
            task.cancel()
        await asyncio.gather(*sending, return_exceptions=True)
        last = asyncio.ensure_future(client.send("last"))
        for _ in range(before):
            assert await server.recv() == NOISE
        assert await server.recv() == "last"
        await last


async def test_those_who_wait_to_send_go_on_in_order_when_one_of_them_is_cancelled(wire):
    async with wire.pair(serve={"max_queue": 1}) as (client, server):
        before = await fill(client)
        sending = [asyncio.ensure_future(client.send(str(number))) for number in range(4)]
        await asyncio.sleep(0)
        sending[1].cancel()
        for _ in range(before):
            await server.recv()
        assert [await server.recv() for _ in range(3)] == ["0", "2", "3"]
        await asyncio.gather(*sending, return_exceptions=True)


async def test_a_cancelled_close_goes_on(wire):
    async with wire.pair() as (client, server):
        closing = asyncio.ensure_future(client.close(4001))
        await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        await asyncio.wait_for(client.wait_closed(), 5000 * MS)
        assert client.close_code == 4001
        await server.wait_closed()
        assert server.close_code == 4001


async def test_a_cancelled_wait_closed_does_not_disturb_others(wire):
    async with wire.pair() as (client, server):
        first, second = (asyncio.ensure_future(client.wait_closed()) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        assert not second.done()
        await server.close()
        await second


async def test_a_cancelled_wait_for_a_pong_does_not_disturb_others(wire):
    async with wire.pair() as (client, _):
        first, second = await client.ping(b"a"), await client.ping(b"b")
        first.cancel()
        assert await second > 0


async def test_a_cancelled_handler_closes_its_connection_with_1001(wire):
    tasks = []

    async def handler(connection):
        tasks.append(asyncio.current_task())
        await connection.recv()

    async with wire.serve(handler) as server, wire.connect(server) as client:
        await client.ping()
        tasks[0].cancel()
        await client.wait_closed()
        assert client.close_code == 1001


async def test_a_cancelled_connect_leaves_nothing_behind(line):
    async with line.serve(lambda connection: None) as server:
        for turns in range(6):
            opening = asyncio.ensure_future(line.connect(server)._open())
            for _ in range(turns):
                await asyncio.sleep(0)
            opening.cancel()
            with pytest.raises(asyncio.CancelledError):
                await opening
        shard = server._shard
        async with asyncio.timeout(5000 * MS):
            while shard.connections:
                await asyncio.sleep(2 * MS)


async def test_a_receiver_that_is_thrown_away_lets_the_next_one_receive(line):
    async with line.pair() as (client, server):
        coroutine = server.recv()
        coroutine.send(None)
        coroutine.close()
        another = server.recv()
        another.send(None)
        del another
        await client.send("for the third")
        assert await server.recv() == "for the third"
