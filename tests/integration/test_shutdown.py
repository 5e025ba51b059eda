"""Closing a server ends, whatever hangs in it, whatever is cancelled meanwhile, and without keeping the event loop to itself."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import time

import pytest
from peer import frames
from peer.certificates import client_context
from peer.client import RawClient, request
from peer.timing import MS, eventually

import everwire
from everwire import State
from everwire.server import shutdown


@pytest.fixture(autouse=True)
def short_cleanup(monkeypatch):
    monkeypatch.setattr(shutdown, "CLEANUP", 200 * MS)
    monkeypatch.setattr(shutdown, "MARGIN", 200 * MS)


async def raw(wire, server, *, is_open=True, **options):
    tls = None if wire.tls == "plain" else client_context()
    how = RawClient.open if is_open else RawClient.connect
    return await how(server.sockets[0].getsockname(), tls=tls, **options)


async def ended(server, within=5000 * MS):
    """Wait for the end of a server that was told to close."""
    await asyncio.wait_for(server.wait_closed(), within)
    assert not server.handlers
    assert not server.connections


def said(caplog, level):
    return [record.getMessage() for record in caplog.records if record.levelno == level]


class Sleeper:
    """A handler that does not listen; a stubborn one does not even heed cancellation."""

    def __init__(self, *, stubborn: bool = False) -> None:
        self.connections: list[everwire.ServerConnection] = []
        self.cancelled: list[float] = []
        self.may_end = asyncio.Event()
        self.ended = 0
        self._stubborn = stubborn

    async def __call__(self, connection: everwire.ServerConnection) -> None:
        self.connections.append(connection)
        try:
            while True:
                try:
                    await self.may_end.wait()
                    return
                except asyncio.CancelledError:
                    self.cancelled.append(time.monotonic())
                    if not self._stubborn:
                        raise
        finally:
            self.ended += 1


class TestHandlers:
    async def test_a_handler_that_goes_on_after_its_connection_is_cancelled_in_time_and_named(self, wire, caplog):
        sleeper = Sleeper()
        async with wire.serve(sleeper) as server, wire.connect(server) as client:
            await eventually(lambda: sleeper.connections)
            began = time.monotonic()
            server.close(handler_timeout=200 * MS)
            await client.wait_closed()
            assert client.close_code == 1001
            assert not sleeper.cancelled
            await ended(server)
            assert 150 * MS < sleeper.cancelled[0] - began < 2000 * MS
        (warning,) = said(caplog, logging.WARNING)
        assert "cancelled" in warning
        assert str(sleeper.connections[0].id) in warning

    async def test_one_that_swallows_the_cancellation_is_named_and_left_behind(self, wire, caplog):
        sleeper = Sleeper(stubborn=True)
        async with wire.serve(sleeper) as server, wire.connect(server):
            await eventually(lambda: sleeper.connections)
            server.close(handler_timeout=50 * MS)
            await ended(server)
            assert len(sleeper.cancelled) == 1
            (error,) = said(caplog, logging.ERROR)
            assert str(sleeper.connections[0].id) in error
            assert sleeper.ended == 0
            sleeper.may_end.set()
            await eventually(lambda: sleeper.ended)

    async def test_without_a_bound_a_handler_is_waited_for(self, line):
        sleeper = Sleeper()
        async with line.serve(sleeper) as server, line.connect(server) as client:
            await eventually(lambda: sleeper.connections)
            server.close(handler_timeout=None)
            await client.wait_closed()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(server.wait_closed(), 300 * MS)
            sleeper.may_end.set()
            await ended(server)
        assert not sleeper.cancelled

    async def test_one_whose_connection_ended_before_has_as_long_from_now(self, line):
        sleeper = Sleeper()
        async with line.serve(sleeper) as server:
            async with line.connect(server):
                await eventually(lambda: sleeper.connections)
            server.close(handler_timeout=100 * MS)
            await ended(server)
        assert len(sleeper.cancelled) == 1

    async def test_draining_bounds_only_those_whose_connection_has_ended(self, line):
        sleeper = Sleeper()
        async with line.serve(sleeper) as server, line.connect(server) as staying:
            async with line.connect(server):
                await eventually(lambda: len(sleeper.connections) == 2)
            server.close(close_connections=False, handler_timeout=50 * MS)
            await eventually(lambda: len(server.handlers) == 1)
            assert staying.state is State.OPEN
            await staying.close()
            await ended(server)

    async def test_many_are_named_in_one_line_that_is_not_too_long(self, line, caplog):
        sleeper = Sleeper()
        async with line.serve(sleeper) as server:
            clients = [await raw(line, server) for _ in range(30)]
            await eventually(lambda: len(sleeper.connections) == 30)
            for client in clients:
                client.reset()
            await eventually(lambda: not server.connections)
            server.close(handler_timeout=50 * MS)
            await ended(server)
        (warning,) = said(caplog, logging.WARNING)
        assert "30 connection handlers" in warning
        assert "20 more" in warning

    @pytest.mark.parametrize("timeout", [-1, "soon", float("nan"), float("inf")])
    async def test_a_bound_that_is_none_is_a_mistake(self, line, timeout):
        async with line.serve(Sleeper()) as server:
            with pytest.raises(everwire.UsageError, match="handler_timeout"):
                server.close(handler_timeout=timeout)
            assert server.is_serving()


class TestPeers:
    async def test_one_that_never_answers_the_close_frame(self, wire):
        async with wire.serve(Sleeper(), close_timeout=150 * MS) as server:
            async with await raw(wire, server) as client:
                client.send(frames.TEXT, b"hello")
                server.close(handler_timeout=50 * MS)
                await ended(server)

    async def test_one_that_does_not_read(self, wire):
        async def handler(connection):
            for _ in range(8):
                connection.send_nowait(bytes(1_000_000))
            sent.set()
            await connection.wait_closed()

        sent = asyncio.Event()
        async with wire.serve(handler, close_timeout=150 * MS, compression=None) as server:
            async with await raw(wire, server, receive_buffer=4096) as client:
                client.writer.transport.pause_reading()
                await sent.wait()
                server.close()
                await ended(server)

    async def test_one_whose_end_the_engine_does_not_bring_about_is_cut(self, wire, caplog, monkeypatch):
        # What the engine's own deadline would allow, as to a peer that goes on reading slowly.
        async with wire.serve(Sleeper(), close_timeout=10_000 * MS) as server:
            async with await raw(wire, server):
                monkeypatch.setitem(server._options, "close_timeout", 100 * MS)
                server.close(handler_timeout=50 * MS)
                await ended(server)
        assert any("cut" in text for text in said(caplog, logging.WARNING))

    @pytest.mark.parametrize("first", [b"", b"GET / HT", b"\x16\x03\x01\x02\x00\x01"])
    async def test_one_in_the_middle_of_its_handshake_is_sent_away(self, wire, first):
        async with wire.serve(Sleeper(), open_timeout=5000 * MS) as server:
            client = await RawClient.connect(server.sockets[0].getsockname())
            client.write(first)
            await asyncio.sleep(20 * MS)
            server.close()
            await ended(server, 1000 * MS)
            client.writer.close()
            await eventually(lambda: not server._shard.connections)

    async def test_one_that_has_shaken_hands_under_tls_and_says_nothing_is_sent_away(self, wire):
        async with wire.serve(Sleeper(), open_timeout=60) as server:
            async with await raw(wire, server, is_open=False) as client:
                await eventually(lambda: server._shard.connections)
                server.close()
                await ended(server, 1000 * MS)
                assert b"101" not in await client.body()

    async def test_one_whose_tls_stands_only_after_the_doors_are_closed_is_sent_away(self, wire):
        if wire.tls == "plain":
            pytest.skip("there is no TLS")
        sleeper = Sleeper()
        async with wire.serve(sleeper) as server:
            loop = asyncio.get_running_loop()
            with socket.socket() as sock:
                sock.setblocking(False)
                await loop.sock_connect(sock, server.sockets[0].getsockname())
                await asyncio.sleep(20 * MS)
                server.close()
                await ended(server)
                with pytest.raises((OSError, EOFError, TimeoutError, AssertionError)):
                    reader, writer = await asyncio.open_connection(
                        sock=sock, ssl=client_context(), server_hostname="localhost"
                    )
                    client = RawClient(reader, writer)
                    client.write(request())
                    assert (await client.head()).status == 101
            await eventually(lambda: not server._shard.connections)
        assert not sleeper.connections

    async def test_create_connection_raises_meanwhile(self, wire, complaints):
        def create(server):
            raise LookupError("no connection for you")

        async with wire.serve(Sleeper(), create_connection=create, process_request=lambda *_: None) as server:
            client = await raw(wire, server, is_open=False)
            client.write(request())
            server.close()
            await ended(server)
            client.writer.transport.abort()
            await eventually(lambda: not server._shard.connections)


class TestCancellation:
    @pytest.mark.parametrize("turns", range(10))
    async def test_everything_is_cancelled_at_any_step_and_everybody_who_waits_goes_on(self, wire, turns):
        async def hook(connection, request):
            if request.path == "/slow":
                await asyncio.sleep(3600)

        async def block():
            async with wire.serve(sleeper, close_timeout=150 * MS) as other:
                inside.set_result(other)
                await asyncio.sleep(3600)

        sleeper = Sleeper()
        inside = asyncio.get_running_loop().create_future()
        server = await wire.serve(sleeper, process_request=hook, close_timeout=150 * MS)
        serving = asyncio.ensure_future(server.serve_forever())
        blocking = asyncio.ensure_future(block())
        other = await inside
        clients = [await raw(wire, server) for _ in range(3)]
        clients.append(await raw(wire, other))
        clients.append(await raw(wire, server, is_open=False))
        clients[-1].write(request("/slow"))
        await eventually(lambda: len(sleeper.connections) == 4 and server._deciding)
        server.close(handler_timeout=100 * MS)
        blocking.cancel()
        for _ in range(turns):
            await asyncio.sleep(0)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await ended(server)
        await asyncio.wait({serving, blocking}, timeout=5000 * MS)
        assert serving.done()
        assert blocking.done()
        other.close(handler_timeout=100 * MS)
        for client in clients:
            client.writer.transport.abort()
        await ended(other)

    async def test_handlers_that_are_cancelled_before_their_first_step_leave_nothing_behind(self, line):
        def handler(connection):
            handled.append(connection)
            return asyncio.get_running_loop().create_future()

        handled = []
        async with line.serve(handler) as server:
            client = await raw(line, server, is_open=False)
            client.write(request())
            while not handled:
                await asyncio.sleep(0)
            server.handlers[handled[0]].cancel()
            assert (await client.head()).status == 101
            assert (await client.frame()).code == 1001
            client.reset()
            await eventually(lambda: not server.handlers)
            server.close()
            await ended(server)

    @pytest.mark.parametrize("turns", range(6))
    async def test_no_handler_begins_after_the_end(self, line, turns):
        sleeper = Sleeper()
        async with line.serve(sleeper, close_timeout=50 * MS) as server:
            # Its handshake may be answered by the engine, which has not told anybody yet.
            client = await raw(line, server, is_open=False)
            client.write(request())
            for _ in range(turns):
                await asyncio.sleep(0)
            server.close(handler_timeout=50 * MS)
            await ended(server)
            count = len(sleeper.connections)
            await asyncio.sleep(20 * MS)
            assert len(sleeper.connections) == sleeper.ended == count
            client.writer.transport.abort()


class TestCrowds:
    """Closing many keeps nobody else waiting: a timer of a millisecond is served while thousands end."""

    COUNT = 3000

    @pytest.mark.parametrize("kind", ["read", "cut", "cancelled", "hooks", "opening"])
    async def test_a_timer_goes_on_while_thousands_end(self, line, kind):
        hooks = {"process_request": self.think} if kind == "hooks" else {}
        timeout = 10_000 * MS if kind == "read" else 300 * MS
        limits = everwire.Limits(handshakes_per_second=10**6)
        sleeper = Sleeper()
        handler = sleeper if kind == "cancelled" else self.receive
        async with line.serve(handler, close_timeout=timeout, backlog=4096, limits=limits, **hooks) as server:
            peers = [await self.peer(server, with_request=kind != "opening") for _ in range(self.COUNT)]
            is_open = kind in ("read", "cut", "cancelled")
            known = {"hooks": lambda: len(server._deciding), "opening": lambda: server._shard.connections}
            count = known.get(kind, lambda: len(server.connections))
            await eventually(lambda: count() == self.COUNT, 30_000 * MS)
            if is_open and kind == "read":
                for peer in peers:
                    asyncio.get_running_loop().add_reader(peer, self.answer, peer)
            gc.collect()
            gc.disable()
            ticking = asyncio.ensure_future(self.tick())
            await asyncio.sleep(20 * MS)
            try:
                server.close(handler_timeout=50 * MS)
                await ended(server, 30_000 * MS)
                await asyncio.sleep(20 * MS)
            finally:
                gc.enable()
                ticking.cancel()
                for peer in peers:
                    if kind == "read":
                        asyncio.get_running_loop().remove_reader(peer)
                    peer.close()
            gaps = sorted(self.gaps)
            assert gaps[-1] < 25 * MS, gaps[-5:]

    def setup_method(self):
        self.gaps = []

    async def tick(self):
        # Of this thread: what other processes of a busy machine take is not ours.
        before = time.thread_time()
        while True:
            await asyncio.sleep(0.001)
            now = time.thread_time()
            self.gaps.append(now - before)
            before = now

    async def receive(self, connection):
        async for _ in connection:
            pass

    async def think(self, connection, asked):
        await asyncio.sleep(3600)

    async def peer(self, server, *, with_request):
        loop = asyncio.get_running_loop()
        sock = socket.socket()
        sock.setblocking(False)
        await loop.sock_connect(sock, server.sockets[0].getsockname())
        await loop.sock_sendall(sock, request() if with_request else b"GET /")
        return sock

    def answer(self, peer):
        try:
            data = peer.recv(65536)
        except OSError:
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(peer)
        elif data[-4:-2] == b"\x88\x02":
            peer.send(frames.close(1001))
