"""What the web platform's tests say of ``WebSocketStream``. Each test names theirs."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import pytest
from peer import frames
from peer.http import Head
from peer.server import RawServer, answer
from peer.timing import MS, eventually

from everwire import ConnectionClosed, HandshakeFailed, UsageError
from everwire.browser import (
    AbortController,
    AbortSignal,
    CloseInfo,
    ReadableStream,
    WebSocketError,
    WebSocketStream,
    WritableStream,
)


def stream(site: Any, path: str = "/echo", **options: Any) -> WebSocketStream:
    """Make one to a path."""
    return WebSocketStream(site.url + path, **site.options, **options)


class TestError:
    """WPT: websockets/stream/tentative/websocket-error.any.js"""

    def test_its_defaults(self) -> None:
        error = WebSocketError()
        assert (str(error), error.close_code, error.closeCode, error.reason) == ("", None, None, "")

    def test_it_is_what_it_is_made_of(self) -> None:
        error = WebSocketError("message", close_code=3456, reason="reason")
        assert (str(error), error.close_code, error.reason) == ("message", 3456, "reason")

    @pytest.mark.parametrize("code", [999, 1001, 2999, 5000])
    def test_codes_that_must_not_be_sent_are_refused(self, code: int) -> None:
        with pytest.raises(UsageError):
            WebSocketError("", close_code=code)

    def test_a_code_alone(self) -> None:
        error = WebSocketError("", close_code=3333)
        assert (error.close_code, error.reason) == (3333, "")

    def test_a_reason_alone_goes_with_1000(self) -> None:
        error = WebSocketError("", reason="specified")
        assert (error.close_code, error.reason) == (1000, "specified")

    @pytest.mark.parametrize("reason", ["x" * 124, "🔌" * 32])
    def test_a_reason_is_measured_in_bytes(self, reason: str) -> None:
        with pytest.raises(UsageError):
            WebSocketError("", reason=reason)


class TestConstructor:
    """WPT: websockets/stream/tentative/constructor.any.js"""

    async def test_it_needs_a_url(self) -> None:
        with pytest.raises(TypeError):
            WebSocketStream()  # type: ignore[call-arg]

    async def test_which_must_be_one(self) -> None:
        with pytest.raises(UsageError):
            WebSocketStream("invalid:")

    async def test_options_have_names(self, home: Any) -> None:
        with pytest.raises(TypeError):
            WebSocketStream(home.url, True)  # type: ignore[misc]
        with pytest.raises(UsageError, match="there is no argument 'protocol'"):
            WebSocketStream(home.url, protocol="hi")

    async def test_protocols_are_a_list(self, home: Any) -> None:
        with pytest.raises(TypeError, match=r"use \['hi'\]"):
            WebSocketStream(home.url, protocols="hi")

    async def test_it_opens(self, site: Any) -> None:
        wss = stream(site)
        await wss.opened
        assert wss.url == site.url + "/echo"
        wss.close()
        await wss.closed

    async def test_a_subprotocol_is_agreed(self, site: Any) -> None:
        wss = stream(site, "/protocol", protocols=["alpha", "beta"])
        info = await wss.opened
        assert info.protocol == "alpha"
        assert await info.readable.get_reader().read() == ("alpha", False)
        wss.close()
        await wss.closed

    async def test_a_refusal_is_an_error_of_both(self) -> None:
        async def behavior(client: Any, head: Head) -> None:
            client.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

        async with RawServer(behavior) as server:
            wss = WebSocketStream(server.url)
            with pytest.raises(WebSocketError) as opened:
                await wss.opened
            with pytest.raises(WebSocketError) as closed:
                await wss.closed
        assert opened.value is closed.value
        assert isinstance(opened.value.__cause__, HandshakeFailed)
        assert opened.value.__cause__.status == 404

    async def test_what_it_opens_to(self, site: Any) -> None:
        wss = stream(site)
        info = await wss.opened
        assert isinstance(info.readable, ReadableStream)
        assert isinstance(info.writable, WritableStream)
        assert (info.protocol, type(info.extensions)) == ("", str)
        wss.close()
        await wss.closed

    async def test_under_tls(self, secure: Any) -> None:
        wss = stream(secure)
        info = await wss.opened
        await info.writable.get_writer().write("secret")
        assert await info.readable.get_reader().read() == ("secret", False)
        wss.close(close_code=1000)
        assert await wss.closed == CloseInfo(1000)


class TestAbort:
    """WPT: websockets/stream/tentative/abort.any.js"""

    async def test_before_it_is_made_it_does_not_connect(self, home: Any) -> None:
        wss = stream(home, signal=AbortSignal.abort())
        with pytest.raises(ConnectionAbortedError):
            await wss.opened
        with pytest.raises(ConnectionAbortedError):
            await wss.closed
        assert home.paths == []

    async def test_while_it_connects(self) -> None:
        asked, gone = asyncio.Event(), asyncio.Event()

        async def behavior(client: Any, head: Head) -> None:
            asked.set()
            try:
                await client.body()
            finally:
                gone.set()

        async with RawServer(behavior) as server:
            controller = AbortController()
            wss = WebSocketStream(server.url, signal=controller.signal)
            await asked.wait()
            reason = LookupError("changed my mind")
            controller.abort(reason)
            for outcome in (wss.opened, wss.closed):
                with pytest.raises(LookupError) as raised:
                    await outcome
                assert raised.value is reason
            await gone.wait()

    async def test_once_it_is_open_it_does_nothing(self, site: Any) -> None:
        controller = AbortController()
        wss = stream(site, signal=controller.signal)
        info = await wss.opened
        controller.abort()
        await info.writable.get_writer().write("connected")
        assert (await info.readable.get_reader().read()).value == "connected"
        wss.close()
        await wss.closed

    async def test_a_signal_may_be_a_clock(self) -> None:
        async def behavior(client: Any, head: Head) -> None:
            await client.body()

        async with RawServer(behavior) as server:
            wss = WebSocketStream(server.url, signal=AbortSignal.timeout(10 * MS))
            with pytest.raises(TimeoutError):
                await wss.opened


class TestClose:
    """WPT: websockets/stream/tentative/close.any.js"""

    @pytest.mark.parametrize(
        ("options", "code", "reason"),
        [
            ({"close_code": 3456, "reason": "pizza"}, 3456, "pizza"),
            ({}, 1005, ""),
            ({"close_code": None}, 1005, ""),
            ({"reason": ""}, 1005, ""),
            ({"reason": "non-empty"}, 1000, "non-empty"),
        ],
    )
    async def test_code_and_reason_reach_the_server_and_come_back(
        self, site: Any, options: dict[str, Any], code: int, reason: str
    ) -> None:
        wss = stream(site)
        await wss.opened
        wss.close(**options)
        info = await wss.closed
        assert (info.close_code, info.closeCode, info.reason) == (code, code, reason)
        assert await site.ends.get() == (code, reason)

    async def test_it_takes_names_only(self, site: Any) -> None:
        wss = stream(site)
        await wss.opened
        with pytest.raises(TypeError):
            wss.close(True)  # type: ignore[misc]
        wss.close()
        await wss.closed

    async def test_a_reason_that_is_too_long_is_refused(self, site: Any) -> None:
        wss = stream(site)
        await wss.opened
        with pytest.raises(UsageError):
            wss.close(reason="." * 124)
        wss.close()
        await wss.closed

    @pytest.mark.parametrize("code", [999, 1001, 2999, 5000])
    async def test_codes_that_must_not_be_sent_are_refused(self, site: Any, code: int) -> None:
        wss = stream(site)
        await wss.opened
        with pytest.raises(UsageError):
            wss.close(close_code=code)
        wss.close()
        await wss.closed

    async def test_while_it_connects(self, home: Any) -> None:
        wss = stream(home)
        wss.close()
        with pytest.raises(WebSocketError):
            await wss.opened
        with pytest.raises(WebSocketError):
            await wss.closed

    async def test_closing_the_writable_is_clean(self, site: Any) -> None:
        wss = stream(site)
        info = await wss.opened
        info.writable.get_writer().close()
        assert await wss.closed == CloseInfo(1005, "")

    async def test_a_writer_is_closed_when_the_handshake_is_complete(self) -> None:
        asked, go = asyncio.Event(), asyncio.Event()

        async def behavior(client: Any, head: Head) -> None:
            client.write(answer(head))
            await client.frame()
            asked.set()
            await go.wait()
            client.write(frames.close(None, key=None))

        async with RawServer(behavior) as server:
            wss = WebSocketStream(server.url)
            writer = (await wss.opened).writable.get_writer()
            closing = asyncio.ensure_future(writer.close())
            await asked.wait()
            await asyncio.sleep(20 * MS)
            assert not closing.done()
            go.set()
            await closing
            await writer.closed
            assert writer.desired_size == 0

    @pytest.mark.parametrize(
        ("reason", "code", "text"),
        [
            (None, 1005, ""),
            ({"closeCode": 3333, "reason": "obsolete"}, 1005, ""),
            (WebSocketError("", close_code=3333), 3333, ""),
            (WebSocketError("", close_code=3456, reason="set"), 3456, "set"),
            (WebSocketError("", reason="specified"), 1000, "specified"),
            (ValueError("yes"), 1005, ""),
        ],
    )
    @pytest.mark.parametrize("way", ["abort", "cancel"])
    async def test_aborting_and_canceling_close(self, site: Any, way: str, reason: Any, code: int, text: str) -> None:
        wss = stream(site)
        info = await wss.opened
        await (info.writable.abort(reason) if way == "abort" else info.readable.cancel(reason))
        assert await wss.closed == CloseInfo(code, text)
        assert await site.ends.get() == (code, text)


class TestRead:
    """WPT: websockets/stream/tentative/read.any.js"""

    async def test_binary_messages_are_bytes(self, site: Any) -> None:
        wss = stream(site)
        info = await wss.opened
        await info.writable.get_writer().write(bytearray(16))
        value, done = await info.readable.get_reader().read()
        assert (value, type(value), done) == (bytes(16), bytes, False)
        wss.close()
        await wss.closed


class TestRemoteClose:
    """WPT: websockets/stream/tentative/remote-close.any.js"""

    async def test_a_clean_one_is_clean(self, site: Any) -> None:
        wss = stream(site, "/remote-close?code=1000")
        info = await wss.opened
        assert await wss.closed == CloseInfo(1000, "")
        assert await info.readable.get_reader().read() == (None, True)
        with pytest.raises(ConnectionClosed):
            await info.writable.get_writer().ready

    async def test_one_without_a_code(self) -> None:
        async def behavior(client: Any, head: Head) -> None:
            client.write(answer(head) + frames.close(None, key=None))
            await client.frame()

        async with RawServer(behavior) as server:
            assert await WebSocketStream(server.url).closed == CloseInfo(1005, "")

    @pytest.mark.parametrize("reason", ["robot", "ロボット"])
    async def test_code_and_reason_are_passed_on(self, site: Any, reason: str) -> None:
        wss = stream(site, f"/remote-close?code=4000&reason={reason}")
        assert await wss.closed == CloseInfo(4000, reason)

    async def test_one_with_something_unwritten_is_not_clean(self, site: Any) -> None:
        wss = stream(site, "/remote-close?code=4567&wait=1", compression=None)
        writer = (await wss.opened).writable.get_writer()
        writing = writer.write(bytes(20 * 1024 * 1024))
        await asyncio.sleep(0)
        site.go.set()
        with pytest.raises(WebSocketError) as closed:
            await wss.closed
        assert closed.value.close_code == 4567
        with pytest.raises(WebSocketError) as written:
            await writing
        assert written.value is closed.value

    async def test_the_servers_code_counts_if_both_close(self) -> None:
        async def behavior(client: Any, head: Head) -> None:
            client.write(answer(head))
            await client.frame()
            client.write(frames.close(4222, "remote", key=None))

        async with RawServer(behavior) as server:
            wss = WebSocketStream(server.url)
            await wss.opened
            wss.close(close_code=4111, reason="local")
            assert await wss.closed == CloseInfo(4222, "remote")

    async def test_an_abrupt_one_is_one_error_for_all(self) -> None:
        async def behavior(client: Any, head: Head) -> None:
            client.write(answer(head))
            await client.frame()
            client.writer.transport.abort()

        async with RawServer(behavior) as server:
            wss = WebSocketStream(server.url)
            info = await wss.opened
            reader, writer = info.readable.get_reader(), info.writable.get_writer()
            await writer.write("go")
            with pytest.raises(WebSocketError) as closed:
                await wss.closed
            assert closed.value.close_code == 1006
            for outcome in (reader.read(), reader.closed, writer.ready, writer.closed, writer.write("x")):
                with pytest.raises(WebSocketError) as raised:
                    await outcome
                assert raised.value is closed.value
            assert writer.desired_size is None


class TestWrite:
    """WPT: websockets/stream/tentative/write.any.js"""

    async def goodbye_then_much(self, site: Any) -> tuple[Any, Any]:
        wss = stream(site, "/echo_exit", compression=None)
        writer = (await wss.opened).writable.get_writer()
        goodbye = writer.write("Goodbye")
        much = writer.write(bytes(8 * 1024 * 1024))
        await goodbye
        with pytest.raises(WebSocketError):
            await wss.closed
        return writer, much

    async def test_one_that_was_not_complete_at_the_end_fails(self, site: Any) -> None:
        writer, much = await self.goodbye_then_much(site)
        with pytest.raises(WebSocketError) as raised:
            await much
        with pytest.raises(WebSocketError) as again:
            await writer.write("word")
        assert again.value is raised.value

    async def test_collecting_garbage_with_a_write_that_failed(self, site: Any) -> None:
        _, much = await self.goodbye_then_much(site)
        for _ in range(5):
            gc.collect()
        with pytest.raises(WebSocketError):
            await much

    async def test_what_is_no_message_fails_the_stream(self, site: Any) -> None:
        wss = stream(site)
        writer = (await wss.opened).writable.get_writer()
        with pytest.raises(TypeError):
            await writer.write(object())
        with pytest.raises(TypeError):
            await writer.write("too late")
        wss.close()
        await wss.closed

    async def test_collecting_garbage_while_writes_are_pending(self, site: Any) -> None:
        wss: Any = stream(site, "/receive", compression=None)
        info: Any = await wss.opened
        writer: Any = info.writable.get_writer()
        info = wss = None
        writes = [writer.write(bytes(100_000)) for _ in range(20)]
        writer = None
        for _ in range(5):
            await asyncio.sleep(0)
            gc.collect()
        site.go.set()
        await asyncio.gather(*writes)
        await asyncio.sleep(0)
        gc.collect()
        assert await site.ends.get() == (1005, "")


class TestBackPressure:
    async def test_it_is_applied_to_what_is_sent(self) -> None:
        """WPT: websockets/stream/tentative/backpressure-send.any.js"""
        size, go = 24 * 1024 * 1024, asyncio.Event()

        async def behavior(client: Any, head: Head) -> None:
            client.write(answer(head))
            await go.wait()
            received, is_complete = 0, False
            while not is_complete:
                frame = await client.frame()
                received += len(frame.payload)
                is_complete = frame.fin
            client.write(frames.encode(frames.TEXT, str(received).encode(), key=None))
            await client.frame()

        async with RawServer(behavior) as server:
            wss = WebSocketStream(server.url)
            info = await wss.opened
            writer = info.writable.get_writer()
            writing = asyncio.ensure_future(writer.write(bytes(size)))
            await asyncio.sleep(100 * MS)
            assert not writing.done()
            assert writer.desired_size == 0
            go.set()
            await writing
            await writer.ready
            assert writer.desired_size == 1
            assert (await info.readable.get_reader().read()).value == str(size)
            wss.close()

    async def test_it_is_applied_to_what_comes(self, site: Any, standstill: Callable[..., Any]) -> None:
        """WPT: websockets/stream/tentative/backpressure-receive.any.js"""
        sent = 0

        async def flood(ws: Any, parts: Any) -> None:
            nonlocal sent
            for number in range(400):
                await ws.send(number.to_bytes(4) * 2**14)
                sent += 1

        site.on_flood = flood
        wss = stream(site, "/flood", compression=None)
        reader = (await wss.opened).readable.get_reader()
        await eventually(lambda: sent > 0)
        assert await standstill(lambda: sent) < 300
        for number in range(400):
            value, _ = await reader.read()
            assert isinstance(value, bytes)
            assert value[:4] == number.to_bytes(4)
        assert sent == 400
        wss.close()
        await wss.closed
