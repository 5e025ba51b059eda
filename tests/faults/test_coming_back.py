"""Clients that come back through a network that is cut, reset, silent, slow, or gone."""

from __future__ import annotations

import asyncio
import itertools
import time

import pytest
from peer.proxy import Proxy
from peer.timing import MS, eventually

import everwire
from everwire.reconnect import supervisor


class Seen:
    """What the server got."""

    def __init__(self):
        self.connections = []
        self.messages = []

    async def handle(self, ws):
        self.connections.append(ws)
        async for message in ws:
            self.messages.append(message)
            await ws.send(message)


@pytest.fixture
async def seen():
    return Seen()


@pytest.fixture
async def proxy(wire, seen):
    """A proxy in front of a server, with a fault to be."""
    async with wire.serve(seen.handle, ping_interval=None) as server:
        async with Proxy(server.sockets[0].getsockname()) as proxy:
            yield proxy
            for connection in list(server.connections):
                connection.abort()
        # Handshakes that the proxy has swallowed end with it.
        await eventually(lambda: not server._shard.connections)


def soon():
    return itertools.repeat(2 * MS)


async def state(ws, wanted):
    async with asyncio.timeout(10_000 * MS):
        async for status in ws.states():
            if status.state == wanted:
                return status
    raise AssertionError(f"it never was {wanted}")


@pytest.mark.parametrize("fault", ["cut", "reset"])
async def test_it_comes_back_after_every_break(wire, proxy, seen, fault):
    async with wire.reconnecting(proxy.port, reconnect_delays=soon) as ws:
        for number in range(1, 6):
            await (await ws.send(f"round {number}"))
            assert await ws.recv() == f"round {number}"
            breaking = asyncio.ensure_future(state(ws, "waiting"))
            await asyncio.sleep(0)
            await getattr(proxy, fault)()
            assert isinstance((await breaking).error, everwire.ConnectionClosedError)
            await ws.wait_open()
    assert len(seen.connections) == 6


async def test_a_link_that_is_only_half_there_is_replaced(wire, proxy, seen):
    beats = {"ping_interval": 30 * MS, "ping_timeout": 300 * MS, "close_timeout": 50 * MS}
    async with wire.reconnecting(proxy.port, reconnect_delays=soon, open_timeout=500 * MS, **beats) as ws:
        receiving = asyncio.ensure_future(ws.recv())
        proxy.is_silent = True
        lost = await state(ws, "waiting")
        assert isinstance(lost.error.__cause__, TimeoutError)
        proxy.is_silent = False
        await proxy.reset()
        await ws.wait_open()
        await ws.send("hello again")
        assert await receiving == "hello again"


async def test_a_dead_link_does_not_hold_up_its_replacement(wire, proxy, seen, monkeypatch):
    monkeypatch.setattr(supervisor, "PARTING", 100 * MS)
    async with wire.reconnecting(proxy.port, reconnect_delays=soon) as ws:
        before, began = ws.connection, time.monotonic()
        proxy.is_silent = True
        ws.reconnect()
        await eventually(lambda: before.state is everwire.State.CLOSED)
        assert 80 * MS < time.monotonic() - began < 5000 * MS
        proxy.is_silent = False
        await proxy.reset()
        await ws.wait_open()
        await ws.send("over a good one")
        assert await ws.recv() == "over a good one"


async def test_waking_finds_a_dead_link_and_leaves_a_living_one(wire, proxy, seen, monkeypatch):
    monkeypatch.setattr(supervisor, "PARTING", 50 * MS)
    monkeypatch.setattr(supervisor, "PROBE", 200 * MS)
    async with wire.reconnecting(proxy.port, reconnect_delays=soon) as ws:
        first = ws.connection
        receiving = asyncio.ensure_future(ws.recv())
        ws.wake()
        await eventually(lambda: first.latency > 0)
        assert ws.connection is first
        proxy.is_silent = True
        ws.wake()
        ws.wake()
        await state(ws, "waiting")
        proxy.is_silent = False
        await proxy.reset()
        await ws.wait_open()
        assert ws.connection is not first
        await ws.send("over a good one")
        assert await receiving == "over a good one"


async def test_waking_does_not_take_an_unread_pong_for_a_dead_link(line, monkeypatch):
    monkeypatch.setattr(supervisor, "PROBE", 100 * MS)

    async def flood(ws):
        while True:
            await ws.send(b"x" * 100_000)

    async with line.serve(flood) as server:
        async with line.reconnecting(server.sockets[0].getsockname()[1]) as ws:
            first = ws.connection
            # Until nothing is read any more.
            await asyncio.sleep(50 * MS)
            ws.wake()
            await asyncio.sleep(200 * MS)
            assert ws.connection is first
            assert ws.state == "open"
            first.abort()
            await ws.close()


async def test_closing_over_a_dead_link_is_bounded(wire, proxy):
    async with wire.reconnecting(proxy.port, close_timeout=100 * MS) as ws:
        proxy.is_silent = True
        began = time.monotonic()
        await ws.close()
        assert time.monotonic() - began < 5000 * MS
        with pytest.raises(everwire.ConnectionClosedOK):
            await ws.recv()


async def test_a_handshake_that_the_network_swallows_is_tried_again(wire, proxy, seen):
    proxy.is_silent = True
    ws = wire.reconnecting(proxy.port, reconnect_delays=soon, open_timeout=150 * MS)
    ws.start()
    failed = await state(ws, "waiting")
    assert isinstance(failed.error, TimeoutError)
    proxy.is_silent = False
    await ws.wait_open()
    await ws.close()


async def test_a_network_that_is_gone_for_a_while(wire, seen):
    async with wire.serve(seen.handle) as server:
        upstream = server.sockets[0].getsockname()
        async with Proxy(upstream) as first:
            ws = wire.reconnecting(first.port, reconnect_delays=soon)
            ws.start()
            await ws.wait_open()
        # Nobody listens any more: connections are refused.
        await eventually(lambda: ws.status.attempt >= 3)
        assert isinstance(ws.status.error, OSError)
        receipts = [await ws.send(str(number)) for number in range(10)]
        assert ws.queued_messages == 10
        await ws.close()
        for receipt in receipts:
            with pytest.raises(everwire.ConnectionClosedOK):
                await receipt


async def test_a_slow_network_of_tiny_segments(wire, proxy, seen):
    proxy.delay, proxy.piece = 2 * MS, 7
    async with wire.reconnecting(proxy.port, reconnect_delays=soon, compression=None) as ws:
        for text in ("é" * 50, "second"):
            await ws.send(text)
            assert await ws.recv() == text
            breaking = asyncio.ensure_future(state(ws, "waiting"))
            await asyncio.sleep(0)
            await proxy.cut()
            await breaking
            await ws.wait_open()


@pytest.mark.parametrize("fault", ["cut", "reset"])
async def test_breaks_while_the_queue_is_sent_double_nothing_and_keep_the_order(wire, proxy, seen, fault):
    options = {
        "reconnect_delays": soon,
        "queue_messages": 10_000,
        "queue_bytes": 2**26,
        "compression": None,
        "write_limit": 10_000,
    }
    async with wire.reconnecting(proxy.port, **options) as ws:
        ws.reconnect()
        receipts = [await ws.send(f"{number:05} " + "x" * 20_000) for number in range(1500)]
        receiving = asyncio.ensure_future(_drain(ws))
        for _ in range(3):
            await ws.wait_open()
            # More than the kernel takes waits, and nobody reads on.
            proxy.stop_reading()
            before = ws.queued_messages
            await eventually(lambda before=before: ws.queued_messages < before)
            assert ws.queued_messages
            breaking = asyncio.ensure_future(state(ws, "waiting"))
            await asyncio.sleep(0)
            await getattr(proxy, fault)()
            proxy.go_on_reading()
            await breaking
        await asyncio.gather(*receipts)
        # What a connection took that was broken already is lost, and may be the last of them.
        while not seen.messages or seen.messages[-1] != "the last":
            await ws.send("the last")
            await asyncio.sleep(20 * MS)
        receiving.cancel()
        await asyncio.wait([receiving])
    numbers = [message[:5] for message in seen.messages if message != "the last"]
    assert numbers == sorted(set(numbers))
    assert len(seen.connections) > 2


async def _drain(ws):
    async for _ in ws:
        pass


async def test_messages_that_waited_unread_outlive_the_break(wire, proxy, seen):
    async with wire.reconnecting(proxy.port, reconnect_delays=soon) as ws:
        for number in range(5):
            await ws.send(str(number))
        await eventually(lambda: len(seen.messages) == 5)
        await (await ws.connection.ping())
        await proxy.reset()
        await eventually(lambda: len(seen.connections) == 2)
        assert [await ws.recv() for _ in range(5)] == list("01234")


async def test_the_loop_of_connect_comes_back_through_breaks(wire, proxy, seen):
    times = 0
    async for ws in wire.connect(proxy.port, reconnect_delays=soon):
        try:
            await ws.send("hello")
            assert await ws.recv() == "hello"
            times += 1
            if times == 4:
                break
            await proxy.reset()
            await ws.recv()
        except everwire.ConnectionClosedError:
            continue
    assert times == len(seen.connections) == 4
