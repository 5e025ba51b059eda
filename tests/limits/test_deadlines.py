"""Deadlines, and peers who miss them."""

from __future__ import annotations

import asyncio
import time

import pytest
from peer import frames
from peer.frames import CLOSE, PING, PONG, TEXT
from peer.server import RawServer, answer
from peer.timing import MS, eventually

import everwire


def took(began, least, most=5000 * MS):
    """Whether it took as long as that, on a machine that may be busy."""
    return least <= time.monotonic() - began <= most


class TestOpenTimeout:
    async def test_half_a_head_is_408(self, serving):
        async with serving(open_timeout=150 * MS) as served:
            began = time.monotonic()
            client = await served.connect()
            client.write(b"GET / HTTP/1.1\r\n")
            assert (await client.head()).status == 408
            assert took(began, 140 * MS)
            await client.body()
            await eventually(lambda: served.server._shard.connections == 0)

    async def test_a_client_gives_up_on_a_silent_server(self):
        async def behavior(client, head):
            await client.reader.read()

        async with RawServer(behavior) as server:
            began = time.monotonic()
            with pytest.raises(TimeoutError):
                await everwire.connect(server.url, open_timeout=150 * MS)
            assert took(began, 140 * MS)

    async def test_none_waits_on(self, serving):
        async with serving(open_timeout=None) as served:
            client = await served.connect()
            client.write(b"GET / HTTP/1.1\r\n")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.reader.read(1), 300 * MS)


class TestPingInterval:
    async def test_pings_come_that_often_or_up_to_a_tenth_more_often(self, serving):
        async with serving(ping_interval=100 * MS) as served:
            began = time.monotonic()
            client = await served.open()
            payloads = set()
            for _ in range(4):
                frame = await client.frame()
                assert frame.opcode == PING
                payloads.add(frame.payload)
                client.send(PONG, frame.payload)
            assert took(began, 4 * 85 * MS)
            assert len(payloads) == 4
            await eventually(lambda: served.connections[0].latency > 0)

    async def test_there_is_one_at_a_time(self, serving):
        async with serving(ping_interval=50 * MS, ping_timeout=None) as served:
            client = await served.open()
            assert (await client.frame()).opcode == PING
            with pytest.raises(TimeoutError):
                await client.frame(within=300 * MS)
            client.send(TEXT, b"still here")
            assert served.server.connections

    async def test_none_sends_none(self, serving):
        async with serving(ping_interval=None, ping_timeout=50 * MS) as served:
            client = await served.open()
            with pytest.raises(TimeoutError):
                await client.frame(within=300 * MS)


class TestPingTimeout:
    async def test_no_pong_is_1011(self, serving):
        ended = []

        async def handler(connection):
            try:
                await connection.recv()
            except everwire.ConnectionClosedError as closed:
                ended.append(closed)

        async with serving(handler, ping_interval=50 * MS, ping_timeout=100 * MS) as served:
            began = time.monotonic()
            client = await served.open()
            frame = await client.closed()
            assert (frame.code, frame.reason) == (1011, "keepalive ping timeout")
            assert took(began, 140 * MS)
            await eventually(lambda: ended)
            assert isinstance(ended[0].__cause__, TimeoutError)
            assert served.server._shard.metrics()["dead"] == 1

    async def test_a_pong_to_another_ping_is_none(self, serving):
        async with serving(ping_interval=50 * MS, ping_timeout=200 * MS) as served:
            client = await served.open()
            assert (await client.frame()).opcode == PING
            client.send(PONG, b"made up")
            assert (await client.closed()).code == 1011

    async def test_a_peer_that_talks_is_alive(self, serving):
        async def handler(connection):
            async for _ in connection:
                pass

        async with serving(handler, ping_interval=50 * MS, ping_timeout=800 * MS) as served:
            client = await served.open()
            for _ in range(40):
                client.send(TEXT, b"x")
                await asyncio.sleep(25 * MS)
            assert len(served.server.connections) == 1


class TestCloseTimeout:
    @pytest.mark.parametrize("talks", [True, False], ids=["that goes on talking", "that says nothing"])
    async def test_a_server_does_not_wait_longer_for_a_peer(self, serving, talks):
        async with serving(close_timeout=200 * MS) as served:
            client = await served.open()
            await eventually(lambda: served.connections)

            async def talk():
                while talks:
                    client.send(TEXT, b"and another thing")
                    await client.writer.drain()
                    await asyncio.sleep(5 * MS)

            talking = asyncio.ensure_future(talk())
            began = time.monotonic()
            (connection,) = served.connections
            await connection.close(1000)
            assert took(began, 190 * MS)
            assert connection.close_code == 1006
            assert (await client.frame()).opcode == CLOSE
            await asyncio.wait([talking], timeout=0)
            talking.cancel()
            await asyncio.gather(talking, return_exceptions=True)

    async def test_nor_does_a_client(self):
        async def behavior(client, head):
            client.write(answer(head))
            while True:
                client.write(frames.encode(TEXT, b"and another thing", key=None))
                await client.writer.drain()
                await asyncio.sleep(5 * MS)

        async with RawServer(behavior) as server:
            connection = await everwire.connect(server.url, close_timeout=200 * MS)
            began = time.monotonic()
            await connection.close()
            assert took(began, 190 * MS)
            assert connection.close_code == 1006

    async def test_nor_does_a_client_for_the_server_to_hang_up(self):
        async def behavior(client, head):
            client.write(answer(head))
            frame = await client.frame()
            client.write(frames.close(frame.code, key=None))
            await client.reader.read()

        async with RawServer(behavior) as server:
            connection = await everwire.connect(server.url, close_timeout=200 * MS)
            began = time.monotonic()
            await connection.close()
            assert took(began, 190 * MS)
            assert connection.close_code == 1000

    async def test_nor_for_a_peer_that_does_not_read(self, serving):
        async with serving(close_timeout=200 * MS) as served:
            client = await served.open(receive_buffer=4096)
            client.writer.transport.pause_reading()
            await eventually(lambda: served.connections)
            (connection,) = served.connections
            while connection.write_buffer_size == 0:
                connection.send_nowait(bytes(100_000), flush=True)
            began = time.monotonic()
            await connection.close()
            assert took(began, 190 * MS)


class TestIdleTimeout:
    async def test_without_messages_1001_though_pongs_come(self, serving):
        async with serving(idle_timeout=300 * MS, ping_interval=50 * MS) as served:
            began = time.monotonic()
            client = await served.open()
            while (frame := await client.frame()).opcode == PING:
                client.send(PONG, frame.payload)
            assert (frame.code, frame.reason) == (1001, "idle")
            assert took(began, 290 * MS)

    async def test_each_message_puts_it_off(self, serving):
        async def handler(connection):
            async for _ in connection:
                pass

        async with serving(handler, idle_timeout=500 * MS) as served:
            began = time.monotonic()
            client = await served.open()
            for _ in range(6):
                await asyncio.sleep(100 * MS)
                client.send(TEXT)
            assert (await client.closed()).code == 1001
            assert took(began, 1090 * MS)

    async def test_it_is_off_by_default(self, serving):
        async with serving() as served:
            client = await served.open()
            with pytest.raises(TimeoutError):
                await client.frame(within=300 * MS)
