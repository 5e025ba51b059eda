"""Peers that do not read: they slow their sender down, or miss what others get, and cost a bounded amount of memory."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import ssl
import time
from pathlib import Path
from typing import Any

import pytest
from peer import frames
from peer.certificates import client_context, identity, server_context
from peer.client import RawClient, request
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


def read_slowly(where: tuple[str, int], tls: ssl.SSLContext | None, size: int, rate: int = 1 << 20) -> int:
    """Read so much a second from the system, with nothing that reads ahead, and answer each ping when it is read.

    Returns:
        how much came before the server hung up, or ``size`` and what came with its last part.
    """
    with contextlib.ExitStack() as stack:
        sock = stack.enter_context(socket.create_connection(where, timeout=5))
        if tls is not None:
            sock = stack.enter_context(tls.wrap_socket(sock, server_hostname="localhost"))
        sock.sendall(request())
        got, rest = 0, b""
        while got < size:
            began = time.monotonic()
            data = sock.recv(16 * KIB)
            if not data:
                return got
            got += len(data)
            # All of the message is zeros: what is not belongs to pings.
            rest = rest[-8:] + data
            while (at := rest.find(b"\x89\x04")) >= 0 and len(rest) >= at + 6:
                sock.sendall(frames.encode(frames.PONG, rest[at + 2 : at + 6]))
                rest = rest[at + 6 :]
            time.sleep(max(0.0, len(data) / rate - (time.monotonic() - began)))
        return got


@pytest.mark.parametrize("tls", ["plain", "core", "context"])
async def test_a_reader_that_takes_a_large_message_slowly_and_never_stops_is_not_cut(tls: str, tmp_path: Path) -> None:
    """A megabyte a second of seven, while ``ping_timeout`` is a second."""
    size = 7 << 20

    async def handler(connection: everwire.ServerConnection) -> None:
        await connection.send(bytes(size))
        await connection.wait_closed()

    options: dict[str, Any] = {"plain": {}, "core": {"ssl": everwire.TLS(identity().certificate, identity().key)}}.get(
        tls, {"ssl": server_context(tmp_path)}
    )
    timing = {"ping_interval": 500 * MS, "ping_timeout": 1000 * MS, "compression": None}
    async with everwire.serve(handler, "127.0.0.1", 0, **timing, **options) as server:
        context = None if tls == "plain" else client_context()
        assert await asyncio.to_thread(read_slowly, server.sockets[0].getsockname(), context, size) >= size


@pytest.mark.parametrize("tls", ["plain", "core", "context"])
async def test_what_was_sent_before_the_handler_returned_reaches_a_slow_reader(tls: str, tmp_path: Path) -> None:
    """Nine megabytes at three a second, and a second for the closing handshake."""
    size = 9 << 20
    options: dict[str, Any] = {"plain": {}, "core": {"ssl": everwire.TLS(identity().certificate, identity().key)}}.get(
        tls, {"ssl": server_context(tmp_path)}
    )
    handler = lambda connection: connection.send(bytes(size))  # noqa: E731
    async with everwire.serve(handler, "127.0.0.1", 0, close_timeout=1000 * MS, compression=None, **options) as server:
        context = None if tls == "plain" else client_context()
        where = server.sockets[0].getsockname()
        # Behind it comes the close frame.
        assert await asyncio.to_thread(read_slowly, where, context, size + 4, 3 << 20) >= size + 4


async def test_a_large_page_of_a_hook_reaches_a_slow_reader_whole() -> None:
    body = bytes(9 << 20)
    page = everwire.Response(200, "OK", everwire.Headers({"Content-Length": str(len(body))}), body)
    async with everwire.serve(
        lambda connection: None, "127.0.0.1", 0, process_request=lambda connection, request: page
    ) as server:
        async with await RawClient.connect(server.sockets[0].getsockname()) as client:
            client.write(b"GET /page HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await client.head()
            got = 0
            while data := await asyncio.wait_for(client.reader.read(150 << 10), 5000 * MS):
                got += len(data)
                await asyncio.sleep(50 * MS)
            assert got == len(body)
