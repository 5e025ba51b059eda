"""Ends that are noticed whoever reads, deadlines that blame nobody for slowness, and the same rules on every way of the bytes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

import pytest
from peer import frames
from peer.certificates import client_context
from peer.client import RawClient, request
from peer.timing import MS, eventually

import everwire


def of(server: everwire.Server) -> tuple[str, int]:
    return server.sockets[0].getsockname()


def raw_tls(wire):
    return None if wire.tls == "plain" else client_context()


async def says_goodbye(client: RawClient) -> None:
    client.send(frames.CLOSE, (1000).to_bytes(2))
    assert (await client.closed()).code == 1000


async def hangs_up(client: RawClient) -> None:
    # asyncio's TLS would wait for the server's goodbye before it closes the socket.
    await client.writer.drain()
    await asyncio.sleep(50 * MS)
    client.writer.transport.abort()


async def resets(client: RawClient) -> None:
    # What was sent before arrives first.
    await client.writer.drain()
    await asyncio.sleep(50 * MS)
    client.reset()


ENDS: list[Callable[[RawClient], Awaitable[None]]] = [says_goodbye, hangs_up, resets]


@pytest.mark.parametrize("end", ENDS)
async def test_a_handler_that_only_waits_for_the_end_need_not_take_messages(wire, end):
    returned = asyncio.Event()

    async def handler(connection):
        await connection.wait_closed()
        returned.set()

    async with wire.serve(handler) as server:
        async with await RawClient.open(of(server), tls=raw_tls(wire)) as client:
            for number in range(100):
                client.send(frames.TEXT, b"%d" % number)
            await end(client)
            await asyncio.wait_for(returned.wait(), 2000 * MS)


@pytest.mark.parametrize("end", [hangs_up, resets])
async def test_the_end_is_noticed_behind_messages_that_nobody_takes_yet(wire, end):
    go_on = asyncio.Event()
    taken = []

    async def handler(connection):
        await go_on.wait()
        try:
            while True:
                taken.append(await connection.recv())
        except everwire.ConnectionClosed:
            taken.append("the end")

    async with wire.serve(handler) as server:
        async with await RawClient.open(of(server), tls=raw_tls(wire)) as client:
            (connection,) = server.connections
            for number in range(100):
                client.send(frames.TEXT, b"%d" % number)
            await eventually(lambda: server._shard.metrics()["received"] >= 16)
            await end(client)
            await eventually(lambda: connection.state is everwire.State.CLOSED, 2000 * MS)
            go_on.set()
            await eventually(lambda: taken and taken[-1] == "the end")
            assert taken[:-1] == [str(number) for number in range(100)]


async def test_messages_that_only_an_end_waiter_could_take_are_dropped_and_said_to_be(wire, caplog):
    refused = []

    async def handler(connection):
        await connection.wait_closed()
        with pytest.raises(everwire.UsageError, match="messages were dropped") as raised:
            await connection.recv()
        refused.append(raised.value)

    with caplog.at_level(logging.WARNING, "everwire"):
        async with wire.serve(handler) as server:
            async with await RawClient.open(of(server), tls=raw_tls(wire)) as client:
                for _ in range(2000):
                    client.send(frames.TEXT, b"anybody there?")
                await says_goodbye(client)
                await eventually(lambda: refused)
    assert len([record for record in caplog.records if "messages are dropped" in record.message]) == 1


async def test_whoever_receives_later_loses_nothing_although_somebody_waits_for_the_end(wire):
    got = []

    async def handler(connection):
        ended = asyncio.ensure_future(connection.wait_closed())
        await asyncio.sleep(100 * MS)
        async for message in connection:
            got.append(message)
        await ended

    async with wire.serve(handler) as server:
        async with await RawClient.open(of(server), tls=raw_tls(wire)) as client:
            for number in range(700):
                client.send(frames.TEXT, b"%d" % number)
            await says_goodbye(client)
            await eventually(lambda: got == [str(number) for number in range(700)])


async def test_a_queue_slows_the_peer_down_again_once_somebody_receives(wire):
    first = asyncio.Event()
    go_on = asyncio.Event()

    async def handler(connection):
        ended = asyncio.ensure_future(connection.wait_closed())
        await connection.recv()
        first.set()
        await go_on.wait()
        ended.cancel()
        async for _ in connection:
            pass

    async with wire.serve(handler, max_queue=4) as server:
        async with await RawClient.open(of(server), tls=raw_tls(wire)) as client:
            client.send(frames.TEXT, b"first")
            await asyncio.wait_for(first.wait(), 2000 * MS)
            for _ in range(300):
                client.send(frames.BINARY, bytes(20_000))
            await asyncio.sleep(200 * MS)
            assert server._shard.metrics()["received"] < 100
            go_on.set()
            await eventually(lambda: server._shard.metrics()["received"] == 301)


async def test_a_server_that_was_quiet_for_longer_than_open_timeout_answers_the_next_client(wire):
    async with wire.serve(lambda connection: None, open_timeout=200 * MS) as server:
        for _ in range(2):
            await asyncio.sleep(500 * MS)
            async with await RawClient.open(of(server), tls=raw_tls(wire)):
                pass


async def test_a_listener_holds_no_more_than_its_limit_and_those_it_turns_away(wire):
    limits = everwire.Limits(connections=3)
    async with wire.serve(lambda connection: None, limits=limits) as server:
        silent = [await RawClient.connect(of(server)) for _ in range(40)]
        await asyncio.sleep(50 * MS)
        assert server._shard.connections <= 3 + 3 // 8 + 8
        for client in silent:
            client.reset()
        await eventually(lambda: server._shard.connections == 0)
        within = [await RawClient.open(of(server), tls=raw_tls(wire)) for _ in range(3)]
        async with await RawClient.connect(of(server), tls=raw_tls(wire)) as client:
            client.write(request())
            assert (await client.head()).status == 503
        for client in within:
            client.reset()


async def test_pings_are_answered_before_during_and_after_a_message_in_parts(wire):
    async with wire.serve(lambda connection: None) as server:
        async with await RawClient.open(of(server), tls=raw_tls(wire)) as client:
            client.send(frames.PING, b"1")
            client.send(frames.TEXT, b"be", fin=False)
            client.send(frames.PING, b"2")
            client.send(frames.CONTINUATION, b"gun")
            client.send(frames.PING, b"3")
            pongs = [await client.frame() for _ in range(3)]
            assert [(pong.opcode, pong.payload) for pong in pongs] == [(frames.PONG, b"%d" % n) for n in (1, 2, 3)]


@pytest.mark.parametrize("tls", ["core", "outside"], indirect=True)
async def test_a_peer_that_failed_tls_and_goes_on_dripping_is_let_go_and_the_log_says_why(wire, caplog):
    with caplog.at_level(logging.DEBUG, "everwire"):
        async with wire.serve(lambda connection: None) as server:
            async with await RawClient.connect(of(server)) as client:
                client.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                began = time.monotonic()
                await eventually(lambda: server._shard.connections == 1)
                while server._shard.connections:
                    assert time.monotonic() - began < 6000 * MS, "each byte renews the deadline"
                    client.write(b"x")
                    await asyncio.sleep(100 * MS)
    (line,) = [record.getMessage() for record in caplog.records if "handshake failed" in record.message]
    assert "TLS" in line or "SSL" in line, line
    assert "failed before" not in line


@pytest.mark.parametrize("tls", ["core", "outside"], indirect=True)
async def test_a_driver_of_tls_that_fails_harms_nobody_else(wire, tmp_path):
    async with wire.serve(lambda connection: None) as server:
        async with await RawClient.open(of(server), tls=raw_tls(wire)) as good:
            async with await RawClient.connect(of(server)) as bad:
                bad.write(b"\x16\x03\x01" + b"\xff" * 500)
                assert await bad.body() is not None
            good.send(frames.PING, b"still here?")
            assert (await good.frame()).payload == b"still here?"


async def test_callbacks_that_take_long_do_not_make_their_peers_late(wire):
    """4 ms a message, and peers that answer every ping at once: their pongs wait with us."""
    closed = []

    def handler(connection):
        connection.on_message = lambda connection, message: time.sleep(4 * MS)

    async def talk(client):
        try:
            while True:
                for _ in range(5):
                    client.send(frames.TEXT, b"work")
                while (frame := await client.frame(50 * MS)).opcode == frames.PING:
                    client.send(frames.PONG, frame.payload)
                closed.append(frame)
                return
        except TimeoutError:
            pass

    async def peer(server, until):
        async with await RawClient.open(of(server), tls=raw_tls(wire)) as client:
            while time.monotonic() < until and not closed:
                await talk(client)

    async with wire.serve(handler, ping_interval=100 * MS, ping_timeout=300 * MS) as server:
        until = time.monotonic() + 2000 * MS
        await asyncio.gather(*(peer(server, until) for _ in range(20)))
    assert not closed
