"""Cancelling what takes several steps, at each of them: connecting, serving, closing a server."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import threading

import pytest
from peer.timing import MS, eventually

import everwire


def descriptors():
    return len(os.listdir("/proc/self/fd"))


async def hold(connection):
    await connection.wait_closed()


@contextlib.asynccontextmanager
async def nothing_left():
    """Whatever happens within leaves no descriptor and no task."""
    await asyncio.sleep(0)
    # What tests before this one left to the garbage collector would count as closed here.
    gc.collect()
    before, tasks = descriptors(), asyncio.all_tasks()
    yield
    await eventually(lambda: descriptors() <= before and asyncio.all_tasks() <= tasks)


async def cancelled(awaitable, after=None, turns=3):
    """Drive something until it waits, and cancel it there."""
    task = asyncio.ensure_future(awaitable)
    if after is not None:
        await eventually(after)
    for _ in range(turns):
        await asyncio.sleep(0)
    assert not task.done(), task
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


class TestConnect:
    async def test_while_the_name_is_looked_up(self, line, monkeypatch):
        if type(asyncio.get_running_loop()).__module__ == "uvloop":
            pytest.skip("its lookups cannot be held up from here")
        asked, may_answer = threading.Event(), threading.Event()
        look_up = socket.getaddrinfo

        def slowly(*arguments, **options):
            asked.set()
            assert may_answer.wait(10)
            return look_up("127.0.0.1", *arguments[1:], **options)

        async with line.serve(hold) as server:
            port = server.sockets[0].getsockname()[1]
            async with nothing_left():
                monkeypatch.setattr(socket, "getaddrinfo", slowly)
                await cancelled(everwire.connect(f"ws://somewhere.example:{port}/")._open(), asked.is_set)
                may_answer.set()
            assert not server._shard.connections

    async def test_while_the_socket_connects(self, line):
        with contextlib.ExitStack() as closing:
            # A full backlog: further connections are neither taken nor refused.
            listening = closing.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
            for _ in range(2):
                waiting = closing.enter_context(socket.socket())
                waiting.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    waiting.connect(listening.getsockname())
            await asyncio.sleep(10 * MS)
            async with nothing_left():
                opening = everwire.connect(f"ws://127.0.0.1:{listening.getsockname()[1]}/")._open()
                before = descriptors()
                await cancelled(opening, lambda: descriptors() > before)

    async def test_while_the_server_is_silent(self, wire):
        # Plain, it waits for the response; under TLS for the server's hello.
        with socket.create_server(("127.0.0.1", 0)) as listening:
            async with wire.serve(hold) as server:
                url = wire.url(server).replace(str(server.sockets[0].getsockname()[1]), str(listening.getsockname()[1]))
            listening.setblocking(False)
            loop = asyncio.get_running_loop()
            async with nothing_left():
                task = asyncio.ensure_future(everwire.connect(url, ssl=wire._for_client())._open())
                accepted, _ = await loop.sock_accept(listening)
                with accepted:
                    # Its first words have come: it waits for ours.
                    assert await loop.sock_recv(accepted, 5)
                    task.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await task
                    # And it is gone, not only quiet.
                    with contextlib.suppress(ConnectionResetError):
                        while await asyncio.wait_for(loop.sock_recv(accepted, 65536), 5000 * MS):
                            pass

    async def test_while_a_hook_of_the_server_thinks(self, wire):
        asked, ended = asyncio.Event(), []

        async def process_request(connection, request):
            asked.set()
            try:
                await asyncio.sleep(3600)
            finally:
                ended.append(connection)

        async with wire.serve(hold, process_request=process_request) as server:
            await cancelled(wire.connect(server)._open(), asked.is_set)
            await eventually(lambda: not server._shard.connections and not server._deciding)
            assert len(ended) == 1

    @pytest.mark.parametrize("turns", range(12))
    async def test_after_any_number_of_turns(self, wire, turns):
        async with wire.serve(hold) as server:
            # The first one makes what is kept.
            async with wire.connect(server):
                pass
            await eventually(lambda: not server._shard.connections)
            async with nothing_left():
                opening = asyncio.ensure_future(wire.connect(server)._open())
                for _ in range(turns):
                    await asyncio.sleep(0)
                if opening.cancel():
                    # It may have been done in this very turn; whoever cancelled does not get it then.
                    with contextlib.suppress(asyncio.CancelledError):
                        await (await opening).close()
                else:
                    await opening.result().close()
                await eventually(lambda: not server._shard.connections)

    async def test_while_it_follows_a_redirect(self, line):
        def redirect(connection, request):
            if request.path == "/":
                response = connection.respond(302, "there\n")
                response.headers["Location"] = "/there"
                return response
            asked.set()
            return asyncio.sleep(3600)

        asked = asyncio.Event()
        async with line.serve(hold, process_request=redirect) as server:
            await cancelled(line.connect(server)._open(), asked.is_set)
            await eventually(lambda: not server._shard.connections)

    async def test_while_it_waits_to_connect_again(self, line):
        attempts = []

        def refuse(connection, request):
            attempts.append(request)
            return connection.respond(503, "later\n")

        async with line.serve(hold, process_request=refuse) as server:

            async def connect():
                async for _ in line.connect(server):
                    pass

            async with nothing_left():
                await cancelled(connect(), lambda: attempts, turns=30)
            await eventually(lambda: not server._shard.connections)

    async def test_within_the_block_closes_the_connection(self, wire):
        inside = asyncio.Event()

        async def use():
            async with wire.connect(server) as client:
                clients.append(client)
                inside.set()
                await client.recv()

        clients = []
        async with wire.serve(hold) as server:
            await cancelled(use(), inside.is_set)
            assert clients[0].state is everwire.State.CLOSED
            assert clients[0].close_code == 1011
            await eventually(lambda: not server.connections)


class TestServe:
    @pytest.mark.parametrize("turns", range(6))
    async def test_while_it_begins(self, wire, turns):
        async def begin():
            beginning = asyncio.ensure_future(wire.serve(hold)._begin())
            for _ in range(turns):
                await asyncio.sleep(0)
            beginning.cancel()
            # It may have been done in this very turn.
            with contextlib.suppress(asyncio.CancelledError):
                server = await beginning
                server.close()
                await server.wait_closed()

        # The first one makes what is kept.
        async with wire.serve(hold):
            pass
        gc.collect()
        async with nothing_left():
            await begin()
            gc.collect()

    async def test_serve_forever_closes_the_server_first(self, wire):
        ended = []

        async def handler(connection):
            try:
                await connection.recv()
            except everwire.ConnectionClosed as closed:
                await asyncio.sleep(10 * MS)
                ended.append(closed.sent.code)

        server = await wire.serve(handler)
        client = await wire.connect(server)
        await cancelled(server.serve_forever())
        assert ended == [1001]
        assert not server.is_serving()
        await client.wait_closed()
        assert client.close_code == 1001

    async def test_serve_forever_cancelled_again_while_it_closes(self, line):
        may_end = asyncio.Event()

        async def handler(connection):
            await may_end.wait()

        server = await line.serve(handler)
        client = await line.connect(server)
        serving = asyncio.ensure_future(server.serve_forever())
        for _ in range(2):
            await asyncio.sleep(0)
            serving.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await serving
        # It goes on in the background.
        await client.wait_closed()
        may_end.set()
        await server.wait_closed()
        assert client.close_code == 1001

    async def test_serve_forever_ends_when_somebody_else_closes(self, line):
        async with line.serve(hold) as server:
            serving = asyncio.ensure_future(server.serve_forever())
            await asyncio.sleep(0)
            server.close()
            await asyncio.wait_for(serving, 5000 * MS)

    async def test_two_wait_for_the_end_and_one_gives_up(self, line):
        async with line.serve(hold) as server:
            first, second = (asyncio.ensure_future(server.wait_closed()) for _ in range(2))
            await asyncio.sleep(0)
            first.cancel()
            await asyncio.sleep(0)
            assert first.cancelled()
            assert not second.done()
            server.close()
            await second

    async def test_closing_twice_is_closing_once(self, wire):
        async with wire.serve(hold) as server, wire.connect(server) as client:
            server.close(code=1012, reason="first")
            server.close(code=1001, reason="second")
            await server.wait_closed()
            server.close(code=1001, reason="third")
            await server.wait_closed()
            await client.wait_closed()
            assert (client.close_code, client.close_reason) == (1012, "first")

    async def test_leaving_the_block_is_cancelled_and_the_server_closes_all_the_same(self, line):
        may_end = asyncio.Event()

        async def handler(connection):
            await may_end.wait()

        async def serve():
            async with line.serve(handler) as server:
                servers.append(server)
                servers.append(await line.connect(server))

        servers = []
        await cancelled(serve(), lambda: len(servers) == 2 and servers[1].state is everwire.State.CLOSED)
        assert not servers[0].is_serving()
        may_end.set()
        await servers[0].wait_closed()
        assert servers[1].close_code == 1001

    async def test_every_handler_is_cancelled_and_the_server_goes_on(self, wire):
        async with wire.serve(hold) as server:
            clients = [await wire.connect(server) for _ in range(3)]
            await eventually(lambda: len(server.handlers) == 3)
            for task in server.handlers.values():
                task.cancel()
            for client in clients:
                await client.wait_closed()
                assert client.close_code == 1001
            await eventually(lambda: not server.handlers)
            async with wire.connect(server) as client:
                await (await client.ping())


class TestConnection:
    async def test_a_ping_that_is_cancelled_at_once_was_sent_or_not(self, wire):
        async with wire.pair() as (client, server):
            for _ in range(20):
                pinging = asyncio.ensure_future(client.ping())
                pinging.cancel()
                await asyncio.gather(pinging, return_exceptions=True)
            assert await (await client.ping()) > 0
            await client.send("still in order")
            assert await server.recv() == "still in order"

    async def test_a_part_that_is_waited_for_is_not_lost(self, wire):
        async with wire.pair() as (client, server):
            going = asyncio.Event()

            async def slowly():
                yield "first"
                await going.wait()
                yield "second"

            sending = asyncio.ensure_future(client.send(slowly()))
            parts = server.recv_streaming()
            assert await anext(parts) == "first"
            for turns in range(4):
                await cancelled(anext(parts), turns=turns + 1)
            going.set()
            assert "".join([part async for part in parts]) == "second"
            await sending

    async def test_a_send_of_parts_waits_for_another_and_is_cancelled(self, line):
        async with line.pair() as (client, server):
            going = asyncio.Event()

            async def slowly():
                yield "a"
                await going.wait()
                yield "b"

            sending = asyncio.ensure_future(client.send(slowly()))
            await asyncio.sleep(0)
            await cancelled(client.send(["never"]))
            await cancelled(client.send("neither"))
            going.set()
            await sending
            await client.send("next")
            assert [await server.recv(), await server.recv()] == ["ab", "next"]

    async def test_a_block_that_is_cancelled_while_it_closes(self, wire):
        # The peer does not answer for now: its server stands still.
        async with wire.pair() as (client, server):
            server.pause()

            async def leave():
                async with client:
                    pass

            leaving = asyncio.ensure_future(leave())
            await asyncio.sleep(0)
            leaving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await leaving
            server.resume()
            await asyncio.wait_for(client.wait_closed(), 5000 * MS)
            assert client.close_code == 1000

    async def test_a_timeout_around_a_close_ends_the_wait_not_the_close(self, wire):
        async with wire.pair(close_timeout=300 * MS) as (client, server):
            server.pause()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(20 * MS):
                    await client.close()
            assert client.state is everwire.State.CLOSING
            server.resume()
            await client.wait_closed()
