"""Peers that do not read: they slow their sender down, or miss what others get, and cost a bounded amount of memory."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
from peer import frames
from peer.client import RawClient
from peer.timing import MS, eventually

import everwire
from everwire import Limits, _core

KIB = 1024
NOISE = random.Random(4).randbytes(16 * KIB)
"""A message that does not compress."""


def resident() -> int:
    """Bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


async def test_send_waits_for_a_slow_reader_and_memory_stays_flat(wire):
    async with wire.link() as link:
        link.proxy.stop_reading()
        sent = 0

        async def flood() -> None:
            nonlocal sent
            while True:
                await link.server.send(NOISE)
                sent += 1

        flooding = asyncio.ensure_future(flood())
        await _until_still(lambda: sent)
        held, memory, stopped_at = _core.memory_held(), resident(), sent
        # It has come to rest just above the high-water mark, though the flood would go on for ever.
        assert link.server.write_buffer_size < 64 * KIB + 2 * len(NOISE)
        assert held < 512 * KIB
        await asyncio.sleep(100 * MS)
        assert sent == stopped_at
        assert _core.memory_held() <= held
        assert resident() - memory < 4 * KIB * KIB
        link.proxy.go_on_reading()
        for _ in range(stopped_at):
            assert await link.client.recv() == NOISE
        await eventually(lambda: sent > stopped_at)
        flooding.cancel()


async def test_a_handler_that_does_not_receive_slows_its_peer_down(wire):
    async with wire.link() as link:
        sent = 0

        async def flood() -> None:
            nonlocal sent
            while True:
                await link.client.send(NOISE)
                sent += 1

        flooding = asyncio.ensure_future(flood())
        await _until_still(lambda: sent)
        assert _core.memory_held() < 4 * KIB * KIB
        stopped_at = sent
        for _ in range(stopped_at):
            assert await link.server.recv() == NOISE
        await eventually(lambda: sent > stopped_at)
        flooding.cancel()


@pytest.mark.parametrize("overflow", ["skip", "close"])
async def test_broadcast_passes_over_who_does_not_read(wire, overflow):
    limits = Limits(output=256 * KIB)
    async with wire.link(serve={"limits": limits, "overflow": overflow}) as slow:
        async with wire.link() as quick:
            # Connections of two servers on one loop: a broadcast does not care.
            both = [slow.server, quick.server]
            slow.proxy.stop_reading()
            sent = skipped = 0
            while sent < 2000:
                sent += 1
                try:
                    everwire.broadcast(both, NOISE, raise_exceptions=True)
                except* everwire.LimitExceeded as group:
                    skipped += len(group.exceptions)
                assert await quick.client.recv() == NOISE
                if skipped == 20 or slow.server.state is not everwire.State.OPEN:
                    break
            assert sent < 2000
            assert slow.server.write_buffer_size <= 256 * KIB + 2 * len(NOISE)
            if overflow == "skip":
                assert slow.server.state is everwire.State.OPEN
                slow.proxy.go_on_reading()
                for _ in range(sent - skipped):
                    assert await slow.client.recv() == NOISE
                await slow.server.send("it hears again")
                assert await slow.client.recv() == "it hears again"
            else:
                slow.proxy.go_on_reading()
                with pytest.raises(everwire.ConnectionClosedError) as raised:
                    while True:
                        await slow.client.recv()
                assert raised.value.rcvd.code == 1013


async def test_pings_of_a_peer_that_never_reads_cost_no_memory(line):
    limits = Limits(pings_per_second=1_000_000)
    async with line.serve(lambda connection: None, limits=limits) as server:
        where = server.sockets[0].getsockname()
        async with await RawClient.open(where, receive_buffer=4096) as client:
            client.reader._transport.pause_reading()
            before = _core.memory_held()
            pings = frames.encode(frames.PING, b"p" * 125) * 100
            for _ in range(500):
                client.write(pings)
                await client.writer.drain()
                assert _core.memory_held() - before < 512 * KIB
            (connection,) = server.connections
            assert connection.state is everwire.State.OPEN


async def test_a_slow_reader_delays_nobody_else(wire):
    async with wire.link() as slow, wire.link() as quick:
        slow.proxy.stop_reading()
        flooding = asyncio.ensure_future(_flood(slow.server))
        await _until_still(lambda: slow.server.write_buffer_size)
        for number in range(200):
            await quick.client.send(str(number))
            await quick.server.send(await quick.server.recv())
            assert await asyncio.wait_for(quick.client.recv(), 2000 * MS) == str(number)
        flooding.cancel()


async def _flood(connection):
    while True:
        await connection.send(NOISE)


async def _until_still(value):
    """Wait until a number has stopped rising."""
    before, still = value(), 0
    while still < 5:
        await asyncio.sleep(20 * MS)
        before, still = value(), still + 1 if value() == before and before else 0
