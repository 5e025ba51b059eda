"""A connection's end is its own: that of another connection is an error like any other."""

from __future__ import annotations

import asyncio
import gc
import io
import itertools

import pytest
from peer import frames
from peer.client import RawClient
from peer.timing import MS, eventually

import everwire
from everwire import State
from everwire.browser import WebSocket


def errors(caplog):
    return [record for record in caplog.records if record.levelname == "ERROR"]


async def closed_connection(line, code=1000):
    """The exception of a connection that was closed."""
    async with line.pair() as (client, server):
        await server.close(code)
        with pytest.raises(everwire.ConnectionClosed) as raised:
            await client.recv()
    return raised.value


class TestSending:
    async def test_a_message_from_another_connection_that_dies_halfway_closes_with_1011(self, wire):
        async with wire.pair() as (client, server), wire.pair() as (upstream, source):

            async def begin():
                yield "the first half"
                await asyncio.Event().wait()

            beginning = asyncio.ensure_future(source.send(begin()))
            passing_on = asyncio.ensure_future(server.send(upstream.recv_streaming()))
            parts = client.recv_streaming()
            assert await anext(parts) == "the first half"
            source.abort()
            with pytest.raises(everwire.ConnectionClosedError) as raised:
                await passing_on
            assert upstream._is_own(raised.value)
            assert server.state is not State.OPEN
            with pytest.raises(everwire.ConnectionClosedError) as raised:
                await anext(parts)
            assert (raised.value.rcvd.code, raised.value.rcvd.reason) == (1011, "error in fragmented message")
            beginning.cancel()
            await asyncio.gather(beginning, return_exceptions=True)

    async def test_another_connection_that_dies_before_the_message_began_leaves_this_one_as_it_was(self, wire):
        async with wire.pair() as (client, server), wire.pair() as (upstream, source):
            source.abort()
            with pytest.raises(everwire.ConnectionClosedError):
                await server.send(upstream.recv_streaming())
            await server.send("still in order")
            assert await client.recv() == "still in order"

    async def test_the_end_of_this_one_comes_out_of_a_message_in_parts_as_it_is(self, wire):
        async with wire.pair() as (client, server):

            async def parts():
                yield "one"
                await client.close(4000)
                yield "two"

            with pytest.raises(everwire.ConnectionClosedError) as raised:
                await server.send(parts())
            assert server._is_own(raised.value)
            assert raised.value.code == 4000


class TestHandlers:
    @pytest.mark.parametrize("code", [1000, 1011])
    async def test_a_gateway_whose_upstream_closes_tells_its_client_1011_and_logs(self, wire, caplog, code):
        async def upstream(connection):
            await connection.close(code, "upstream has gone")

        async def gateway(connection):
            async with wire.connect(behind) as other:
                while True:
                    await connection.send(await other.recv())

        async with wire.serve(upstream) as behind, wire.serve(gateway) as server, wire.connect(server) as client:
            with pytest.raises(everwire.ConnectionClosedError):
                await client.recv()
            assert client.close_code == 1011
        (record,) = errors(caplog)
        assert "connection handler failed" in record.message
        assert "upstream has gone" in record.exc_text

    async def test_a_gateway_whose_client_leaves_is_quiet(self, wire, caplog):
        async def gateway(connection):
            async with wire.connect(behind) as other:
                async with asyncio.TaskGroup() as group:
                    for source, sink in ((connection, other), (other, connection)):
                        group.create_task(pump(source, sink))

        async def pump(source, sink):
            while True:
                await sink.send(await source.recv())

        async def echo(connection):
            async for message in connection:
                await connection.send(message)

        async with wire.serve(echo) as behind, wire.serve(gateway) as server:
            async with wire.connect(server) as client:
                await client.send("x")
                assert await client.recv() == "x"
            await eventually(lambda: not server.handlers)
        assert not errors(caplog)

    async def test_a_group_in_which_another_connection_ended_too_is_an_error(self, line, caplog):
        other = await closed_connection(line)

        async def handler(connection):
            try:
                await connection.recv()
            except everwire.ConnectionClosed as own:
                raise ExceptionGroup("both", [own, other]) from None

        async with line.serve(handler) as server, line.connect(server):
            pass
        assert "both" in errors(caplog)[0].exc_text

    async def test_an_end_that_the_program_made_itself_is_nobodys(self, line, caplog):
        async def handler(connection):
            raise everwire.ConnectionClosedError(None, None)

        async with line.serve(handler) as server, line.connect(server) as client:
            await client.wait_closed()
            assert client.close_code == 1011
        assert errors(caplog)

    async def test_an_exception_does_not_keep_its_connection(self, line):
        error = (await closed_connection(line)).with_traceback(None)
        for _ in range(3):
            await asyncio.sleep(0)
            gc.collect()
        assert error._connection() is None


class TestCallbacks:
    async def test_an_answer_through_another_connection_that_ended_closes_with_1011(self, wire, complaints):
        async with wire.pair() as (client, server), wire.pair() as (other, _):
            await other.close()
            server.on_message = lambda connection, message: other.send_nowait(message)
            await client.send("x")
            await client.wait_closed()
            assert client.close_code == 1011
        assert [type(context["exception"]) for context in complaints] == [everwire.ConnectionClosedOK]

    async def test_it_is_told_even_if_this_one_is_closing(self, line, complaints):
        async with line.serve(lambda connection: setattr(connection, "on_message", answer)) as server:
            async with line.pair() as (other, _):
                await other.close()

                def answer(connection, message):
                    other.send_nowait(message)

                async with await RawClient.open(server.sockets[0].getsockname()) as client:
                    client.write(frames.encode(frames.TEXT, b"x") + frames.close(1000))
                    await client.body()
            await eventually(lambda: complaints)
        assert isinstance(complaints[0]["exception"], everwire.ConnectionClosed)

    async def test_an_answer_behind_which_the_peer_closed_is_quiet(self, line, complaints):
        def echo(connection):
            connection.on_message = everwire.ServerConnection.send_nowait

        async with line.serve(echo) as server:
            async with await RawClient.open(server.sockets[0].getsockname()) as client:
                client.write(frames.encode(frames.TEXT, b"x") + frames.close(1000))
                await client.body()
        assert complaints == []


class TestHooks:
    @pytest.mark.parametrize("hook", ["process_request", "process_response"])
    async def test_a_hook_that_asks_through_another_connection_that_ended_answers_500(self, wire, caplog, hook):
        async def ask(*_):
            async with wire.connect(behind) as other:
                await other.recv()

        async with wire.serve(lambda connection: connection.close()) as behind:
            async with wire.serve(lambda connection: None, **{hook: ask}) as server:
                with pytest.raises(everwire.HandshakeFailed) as raised:
                    await wire.connect(server)
                assert raised.value.status == 500
        assert errors(caplog)[0].message == f"{hook} failed"


class TestReconnecting:
    async def test_a_token_that_is_asked_for_on_another_connection_that_ended_is_asked_for_again(self, line, service):
        error, asked = await closed_connection(line), []

        def token():
            asked.append(True)
            if len(asked) < 3:
                raise error
            return "token"

        delays = lambda: itertools.repeat(1 * MS)  # noqa: E731
        async with everwire.ReconnectingWebSocket(service.url, token=token, reconnect_delays=delays) as ws:
            await ws.send("x")
            await eventually(lambda: service.received == ["x"])
        assert len(asked) == 3

    async def test_iterating_does_not_end_as_if_all_was_said(self, line, service):
        error = await closed_connection(line)

        def token():
            raise error

        ws = everwire.ReconnectingWebSocket(service.url, token=token, process_exception=lambda error: error)
        ws.start()
        with pytest.raises(ConnectionError) as raised:
            async for _ in ws:
                pass
        assert raised.value.__cause__ is error

    async def test_the_end_of_its_own_connection_in_on_open_is_judged_by_its_code(self, service):
        async def on_open(connection):
            await connection.recv()

        async def close(connection):
            await connection.close(1000)

        async with everwire.serve(close, "127.0.0.1", 0) as server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            ws = everwire.ReconnectingWebSocket(url, on_open=on_open)
            ws.start()
            with pytest.raises(everwire.ConnectionClosedOK):
                await ws.wait_open()


class Broken(io.RawIOBase):
    """A file that gives a part, and then an exception."""

    def __init__(self, error, parts=1):
        self._error = error
        self._left = parts

    def read(self, size=-1):
        self._left -= 1
        if self._left < 0:
            raise self._error
        return b"x" * max(size, 1)


class TestBrowserObjects:
    @pytest.mark.parametrize("parts", [0, 1])
    @pytest.mark.parametrize("kind", ["own class", OSError, "cancelled"])
    async def test_a_file_that_raises_closes_with_1011_whatever_it_raises(self, line, kind, parts):
        match kind:
            case "own class":
                error = await closed_connection(line)
            case "cancelled":
                error = asyncio.CancelledError()
            case _:
                error = kind("a broken disk")
        arrived = asyncio.get_running_loop().create_future()

        async def handler(connection):
            await connection.wait_closed()
            arrived.set_result(connection.close_code)

        async with line.serve(handler) as server:
            ws = WebSocket(line.url(server))
            told = []
            ws.add_event_listener("error", lambda event: told.append(event.error))
            await ws
            ws.send(Broken(error, parts))
            ws.send("behind it")
            assert await asyncio.wait_for(arrived, 5000 * MS) == 1011
            await eventually(lambda: told)
            assert told == [error]
