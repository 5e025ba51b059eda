"""A network that delays, splits, cuts, resets, or falls silent."""

from __future__ import annotations

import asyncio
import random
import time

import pytest
from peer.proxy import Proxy
from peer.timing import MS, eventually

import everwire

SIZES = [0, 1, 125, 126, 127, 4096, 65535, 65536, 65537, 200_000]
"""Around every length form, and beyond what is read at once."""


@pytest.mark.parametrize("compression", ["deflate", None], ids=["deflate", "identity"])
async def test_messages_of_every_size_arrive_whole_through_delays(wire, compression):
    noise = random.Random(1)
    async with wire.link(delay=2 * MS, compression=compression) as link:
        messages = [noise.randbytes(size) for size in SIZES] + ["é" * (size // 2) for size in SIZES]
        for sender, receiver in ((link.client, link.server), (link.server, link.client)):
            sending = asyncio.ensure_future(_send_all(sender, messages))
            for message in messages:
                assert await receiver.recv() == message
            await sending


@pytest.mark.parametrize("piece", [1, 7])
async def test_messages_arrive_whole_through_a_network_of_tiny_segments(wire, piece):
    async with wire.link(piece=piece) as link:
        messages = ["", "é" * 100, b"x" * 126, random.Random(2).randbytes(3000)]
        for sender, receiver in ((link.client, link.server), (link.server, link.client)):
            sending = asyncio.ensure_future(_send_all(sender, messages))
            for message in messages:
                assert await receiver.recv() == message
            await sending
        closing = asyncio.ensure_future(link.client.close(4000, "byte by byte"))
        await link.server.wait_closed()
        await closing
        assert (link.server.close_code, link.server.close_reason) == (4000, "byte by byte")
        assert link.client.close_code == 4000


@pytest.mark.parametrize("fault", ["cut", "reset"])
async def test_a_connection_that_breaks_is_1006_on_both_sides(wire, fault):
    async with wire.link() as link:
        await link.client.send("before")
        assert await link.server.recv() == "before"
        await getattr(link.proxy, fault)()
        for connection in (link.client, link.server):
            await asyncio.wait_for(connection.wait_closed(), 5000 * MS)
            assert connection.close_code == 1006
            with pytest.raises(everwire.ConnectionClosedError) as raised:
                await connection.recv()
            assert (raised.value.rcvd, raised.value.sent) == (None, None)
            assert isinstance(raised.value.__cause__, EOFError | OSError)
            with pytest.raises(everwire.ConnectionClosedError):
                await connection.send("after")


async def test_what_came_before_the_break_is_received_before_the_error(wire):
    async with wire.link() as link:
        for number in range(10):
            link.client.send_nowait(str(number))
        await link.client.send("the last")
        # An answer means that everything before it has passed the proxy.
        pong = await link.client.ping()
        await pong
        await link.proxy.cut()
        await link.server.wait_closed()
        received = [await link.server.recv() for _ in range(11)]
        assert received == [*map(str, range(10)), "the last"]
        with pytest.raises(everwire.ConnectionClosedError):
            await link.server.recv()


async def test_a_message_that_breaks_off_is_not_received(wire):
    async with wire.link() as link:
        link.proxy.stop_reading()
        sending = asyncio.ensure_future(link.client.send(random.Random(3).randbytes(8_000_000)))
        await asyncio.sleep(20 * MS)
        await link.proxy.reset()
        with pytest.raises(everwire.ConnectionClosedError):
            await link.server.recv()
        await link.client.wait_closed()
        await asyncio.gather(sending, return_exceptions=True)


@pytest.mark.parametrize("pinging", ["server", "client"])
async def test_a_peer_that_is_only_half_there_is_found_by_its_silence(wire, pinging):
    beats = {"ping_interval": 50 * MS, "ping_timeout": 200 * MS, "close_timeout": 200 * MS}
    quiet = {"ping_interval": None}
    serve, connect = (beats, quiet) if pinging == "server" else (quiet, beats)
    async with wire.link(serve=serve, **connect) as link:
        watcher = getattr(link, pinging)
        await eventually(lambda: watcher.latency > 0)
        began = time.monotonic()
        link.proxy.is_silent = True
        with pytest.raises(everwire.ConnectionClosedError) as raised:
            await watcher.recv()
        assert 150 * MS < time.monotonic() - began < 5000 * MS
        assert raised.value.sent.code == 1011
        assert raised.value.rcvd is None
        assert isinstance(raised.value.__cause__, TimeoutError)


async def test_a_slow_network_is_no_dead_network(wire):
    beats = {"ping_interval": 20 * MS, "ping_timeout": 800 * MS}
    async with wire.link(serve=beats, delay=50 * MS, **beats) as link:
        await asyncio.sleep(1000 * MS)
        assert link.server.latency > 50 * MS
        await link.client.send("still here")
        assert await link.server.recv() == "still here"


async def test_a_handshake_that_the_network_swallows_ends_at_its_deadline(wire):
    async with wire.serve(lambda connection: None, open_timeout=200 * MS) as server:
        async with Proxy(server.sockets[0].getsockname()) as proxy:
            proxy.is_silent = True
            with pytest.raises(TimeoutError):
                await wire.connect(proxy.port, open_timeout=200 * MS)
            await eventually(lambda: not server._shard.connections)


async def _send_all(connection, messages):
    for message in messages:
        await connection.send(message)
