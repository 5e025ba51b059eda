"""Callback style: on_message instead of receiving, pausing, and what becomes of mistakes in a callback."""

from __future__ import annotations

import asyncio
import contextvars
import time

import pytest
from peer.timing import MS

import everwire


class Collector:
    """Keeps messages; a test waits until there are enough."""

    def __init__(self):
        self.messages = []
        self._more = asyncio.Event()

    def __call__(self, connection, message):
        self.messages.append(message)
        self._more.set()

    async def wait_for(self, count):
        while len(self.messages) < count:
            self._more.clear()
            await self._more.wait()


async def all_of_it_has_arrived(connection):
    """Answered when everything sent before it was read, if reading goes on."""
    await (await connection.ping())


async def test_messages_of_both_kinds_are_handed_to_the_callback_in_order(wire):
    async with wire.pair() as (client, server):
        server.on_message = collector = Collector()
        sent = ["text", b"binary", "", "é" * 5000, bytes(100_000)]
        for message in sent:
            await client.send(message)
        await collector.wait_for(len(sent))
        assert collector.messages == sent


async def test_messages_that_waited_are_handed_to_it_first(line):
    async with line.pair() as (client, server):
        await client.send("one")
        await client.send("two")
        await all_of_it_has_arrived(client)
        server.on_message = collector = Collector()
        await client.send("three")
        await collector.wait_for(3)
        assert collector.messages == ["one", "two", "three"]


async def test_without_a_callback_messages_are_received_again(line):
    async with line.pair() as (client, server):
        server.on_message = collector = Collector()
        assert server.on_message is collector
        await client.send("called")
        await collector.wait_for(1)
        server.on_message = None
        await client.send("received")
        assert await server.recv() == "received"
        assert collector.messages == ["called"]


async def test_a_callback_runs_in_the_context_in_which_it_was_set(line):
    variable = contextvars.ContextVar("variable", default="the loop's")
    seen = asyncio.get_running_loop().create_future()
    async with line.pair() as (client, server):
        variable.set("the setter's")
        server.on_message = lambda connection, message: seen.set_result(variable.get())
        variable.set("later")
        await client.send("now")
        assert await seen == "the setter's"


async def test_a_callback_that_fails_is_reported_and_closes_with_1011(line):
    reports = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: reports.append(context))

    def fail(connection, message):
        raise LookupError(message)

    async with line.pair() as (client, server):
        server.on_message = fail
        await client.send("trouble")
        with pytest.raises(everwire.ConnectionClosedError):
            await client.recv()
        assert client.close_code == 1011
        assert [(repr(report["exception"]), report["connection"]) for report in reports] == [
            ("LookupError('trouble')", server)
        ]


async def test_what_a_callback_sends_leaves_with_the_batch(wire):
    async with wire.pair() as (client, server):
        server.on_message = lambda connection, message: connection.send_nowait(message)
        for number in range(500):
            client.send_nowait(str(number))
        assert [await client.recv() for _ in range(500)] == [str(number) for number in range(500)]


async def test_a_paused_connection_hands_out_nothing_and_resumes_in_order(wire):
    async with wire.pair() as (client, server):
        server.on_message = collector = Collector()
        server.pause()
        for number in range(100):
            await client.send(str(number))
        await asyncio.sleep(50 * MS)
        assert collector.messages == []
        server.resume()
        await client.send("100")
        await collector.wait_for(101)
        assert collector.messages == [str(number) for number in range(101)]


async def test_pausing_within_the_callback_stops_at_that_message(line):
    async with line.pair() as (client, server):
        collector = Collector()

        def one_at_a_time(connection, message):
            connection.pause()
            collector(connection, message)

        server.on_message = one_at_a_time
        for number in range(20):
            await client.send(str(number))
        for number in range(20):
            await collector.wait_for(number + 1)
            assert collector.messages == [str(earlier) for earlier in range(number + 1)]
            server.resume()


async def test_pausing_twice_is_pausing_once(line):
    async with line.pair() as (client, server):
        server.on_message = collector = Collector()
        server.pause()
        server.pause()
        server.resume()
        server.resume()
        await client.send("goes on")
        await collector.wait_for(1)


async def test_no_peer_is_given_up_for_want_of_a_pong_while_paused(line):
    # The pong lies unread behind what the program does not want to see.
    options = {"ping_interval": 0.05, "ping_timeout": 0.05}
    async with line.pair(serve=options) as (client, server):
        server.on_message = collector = Collector()
        server.pause()
        await asyncio.sleep(400 * MS)
        assert server.state is everwire.State.OPEN
        server.resume()
        await client.send("still here")
        await collector.wait_for(1)


async def test_abort_gives_receivers_what_came_before(line):
    async with line.pair() as (client, server):
        await client.send("before")
        await all_of_it_has_arrived(client)
        server.abort()
        assert await server.recv() == "before"
        with pytest.raises(everwire.ConnectionClosedError):
            await server.recv()
        server.abort()  # does nothing on a closed connection
        with pytest.raises(everwire.ConnectionClosedError):
            await client.recv()
        assert client.close_code == 1006


async def test_binary_that_is_not_utf_8_cannot_be_had_as_text_and_is_gone(line):
    async with line.pair() as (client, server):
        await client.send(b"\xff")
        await client.send("next")
        with pytest.raises(UnicodeDecodeError):
            await server.recv(decode=True)
        assert await server.recv(decode=True) == "next"


async def test_waiting_messages_leave_other_work_its_turn_and_come_in_order(wire):
    count = 3000
    received, gaps, ticks = [], [], 0
    loop = asyncio.get_running_loop()

    def tick():
        nonlocal ticks, last
        ticks, now = ticks + 1, time.thread_time()
        gaps.append(now - last)
        last = now
        if len(received) <= count:
            loop.call_soon(tick)

    def slowly(connection, message):
        received.append(message)
        until = time.thread_time() + 0.0001
        while time.thread_time() < until:
            pass

    async with wire.pair(serve={"limits": everwire.Limits(queue_messages=2 * count)}) as (client, server):
        for number in range(count):
            await client.send(str(number))
        await all_of_it_has_arrived(client)
        last = time.thread_time()
        loop.call_soon(tick)
        server.on_message = slowly
        await client.send(str(count))
        async with asyncio.timeout(30_000 * MS):
            while len(received) <= count:
                await asyncio.sleep(0)
        assert received == [str(number) for number in range(count + 1)]
        # 300 ms of callbacks in turns of about a millisecond. Only this thread's own time counts: the machine may be busy.
        assert ticks > 100
        assert max(gaps) < 100 * MS


async def test_messages_that_waited_for_many_callbacks_are_handed_out_in_turn(line):
    count = 200
    order = []
    async with line.pair(serve={"limits": everwire.Limits(queue_messages=1000)}) as (one, at_one):
        async with line.pair(serve={"limits": everwire.Limits(queue_messages=1000)}) as (two, at_two):
            for number in range(count):
                one.send_nowait(str(number))
                two.send_nowait(str(number))
            await all_of_it_has_arrived(one)
            await all_of_it_has_arrived(two)
            for connection in (at_one, at_two):
                connection.on_message = lambda connection, message: order.append(connection)
            while len(order) < 2 * count:
                await asyncio.sleep(0)
    assert order[: count // 2].count(at_two) == count // 4
