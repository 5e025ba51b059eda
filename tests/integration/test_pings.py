"""Pings: round trips that a program asks for, and the heartbeat that the engine keeps by itself."""

from __future__ import annotations

import asyncio
import gc

import pytest
from peer import frames
from peer.certificates import client_context
from peer.client import RawClient
from peer.timing import MS, eventually

import everwire


async def test_a_ping_measures_the_round_trip(wire):
    async with wire.pair() as (client, server):
        assert client.latency == 0
        latency = await (await client.ping())
        assert 0 < latency < 5
        assert client.latency == latency
        assert 0 < await (await server.ping("marked")) == server.latency


async def test_a_pong_answers_its_ping_and_all_before_it(line):
    async with line.serve(lambda connection: None) as server:
        async with await RawClient.open(server.sockets[0].getsockname()) as client:
            (connection,) = server.connections
            waiting = [await connection.ping(data) for data in (b"a", b"b", b"c")]
            assert [(await client.frame()).payload for _ in range(3)] == [b"a", b"b", b"c"]
            client.send(frames.PONG, b"never asked for")
            client.send(frames.PONG, b"b")
            await asyncio.gather(*waiting[:2])
            assert not waiting[2].done()
            client.send(frames.PONG, b"c")
            await waiting[2]


async def test_pings_are_answered_with_their_payload(line):
    async with line.serve(lambda connection: None) as server:
        async with await RawClient.open(server.sockets[0].getsockname()) as client:
            for payload in (b"", b"x", bytes(125)):
                client.send(frames.PING, payload)
                frame = await client.frame()
                assert (frame.opcode, frame.payload) == (frames.PONG, payload)


async def test_a_payload_that_waits_already_is_a_mistake(line):
    async with line.pair() as (client, _):
        first = await client.ping(b"same")
        with pytest.raises(everwire.UsageError, match="same data"):
            await client.ping("same")
        await first
        await (await client.ping(b"same"))


async def test_a_long_payload_is_a_mistake(line):
    async with line.pair() as (client, _):
        await (await client.ping(bytes(125)))
        for control in (client.ping, client.pong):
            with pytest.raises(everwire.UsageError, match="125"):
                await control(bytes(126))
        await (await client.ping(bytes(125)))


@pytest.mark.parametrize("wrong", [1, 1.5, ["x"]])
async def test_other_payloads_are_refused(line, wrong):
    async with line.pair() as (client, _):
        for control in (client.ping, client.pong):
            with pytest.raises(TypeError):
                await control(wrong)
        await (await client.ping())


async def test_a_pong_that_nobody_asked_for_is_sent_and_ignored(line):
    async with line.serve(lambda connection: None) as server:
        async with await RawClient.open(server.sockets[0].getsockname()) as client:
            (connection,) = server.connections
            await connection.pong(b"here I am")
            frame = await client.frame()
            assert (frame.opcode, frame.payload) == (frames.PONG, b"here I am")
            client.send(frames.PONG, b"me too")
            client.send(frames.TEXT, b"goes on")
            assert await connection.recv() == "goes on"


async def test_a_waiting_ping_is_told_of_the_end_and_nobody_has_to_look(line, recwarn):
    async with line.pair() as (client, server):
        server.pause()
        waiting, dropped = await client.ping(), await client.ping()
        client.abort()
        with pytest.raises(everwire.ConnectionClosedError):
            await waiting
        del dropped
    gc.collect()
    assert not recwarn.list


async def test_heartbeats_find_out_the_latency(wire):
    async with wire.pair(ping_interval=20 * MS) as (client, server):
        assert server.latency == 0
        await eventually(lambda: client._heartbeat_latency > 0 or client.latency >= 0.001)
        assert client.latency < 5


async def test_a_peer_that_answers_no_ping_is_closed_with_1011(wire):
    async def forget(connection):
        await connection.wait_closed()

    async with wire.serve(forget, ping_interval=20 * MS, ping_timeout=60 * MS, close_timeout=50 * MS) as server:
        tls = None if wire.tls == "plain" else client_context()
        async with await RawClient.open(server.sockets[0].getsockname(), tls=tls) as client:
            (connection,) = server.connections
            assert (await client.frame()).opcode == frames.PING
            frame = await client.closed()
            assert (frame.code, frame.reason) == (1011, "keepalive ping timeout")
            with pytest.raises(everwire.ConnectionClosedError) as raised:
                await connection.recv()
            assert isinstance(raised.value.__cause__, TimeoutError)
            assert raised.value.rcvd is None


async def test_any_sign_of_life_is_as_good_as_a_pong(line):
    """A peer in the middle of a large message cannot answer in between."""
    async with line.serve(lambda connection: None, ping_interval=20 * MS, ping_timeout=100 * MS) as server:
        async with await RawClient.open(server.sockets[0].getsockname()) as client:
            (connection,) = server.connections
            for _ in range(40):
                client.send(frames.BINARY, b"still talking")
                await asyncio.sleep(10 * MS)
                await connection.recv()
            assert connection.state is everwire.State.OPEN


async def test_without_an_interval_no_ping_is_sent(line):
    async with line.serve(lambda connection: None, ping_interval=None) as server:
        async with await RawClient.open(server.sockets[0].getsockname()) as client:
            with pytest.raises(TimeoutError):
                await client.frame(within=200 * MS)


async def test_without_a_timeout_a_silent_peer_stays(line):
    async with line.serve(lambda connection: None, ping_interval=20 * MS, ping_timeout=None) as server:
        async with await RawClient.open(server.sockets[0].getsockname()):
            (connection,) = server.connections
            await asyncio.sleep(300 * MS)
            assert connection.state is everwire.State.OPEN


async def test_a_program_that_does_not_receive_holds_no_lack_of_pongs_against_its_peer(wire):
    """The pongs lie unread behind the messages that it does not take."""
    server_options = {"ping_interval": 20 * MS, "ping_timeout": 200 * MS, "max_queue": 1}
    async with wire.pair(serve=server_options, ping_interval=None) as (client, server):
        for _ in range(3):
            await client.send("fills the queue")
        await asyncio.sleep(600 * MS)
        assert (client.state, server.state) == (everwire.State.OPEN, everwire.State.OPEN)
        assert [await server.recv() for _ in range(3)] == ["fills the queue"] * 3
        await asyncio.sleep(100 * MS)
        assert server.latency > 0


async def test_a_connection_without_messages_ends_at_the_idle_limit_with_1001(wire):
    async with wire.pair(serve={"idle_timeout": 500 * MS}) as (client, server):
        for _ in range(12):
            await client.send("busy")
            await server.recv()
            await (await client.ping())
            await asyncio.sleep(50 * MS)
        assert server.state is everwire.State.OPEN
        await asyncio.wait_for(client.wait_closed(), 5000 * MS)
        assert client.close_code == 1001
