"""What the web platform's tests say of closing: codes, reasons, states, ``CloseEvent``. Each test names theirs."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest
from peer import frames
from peer.http import Head
from peer.server import RawServer, answer
from peer.timing import MS, eventually

from everwire import Limits, UsageError
from everwire.browser import CloseEvent, Event, WebSocket


class TestCodes:
    @pytest.mark.parametrize(
        ("arguments", "code", "reason"),
        [
            pytest.param((1000,), 1000, "", id="websockets/Close-1000.any.js"),
            pytest.param((1000,), 1000, "", id="websockets/Close-1000-verify-code.any.js"),
            pytest.param((1000, "Clean Close"), 1000, "Clean Close", id="websockets/Close-1000-reason.any.js"),
            pytest.param((), 1005, "", id="websockets/Close-1005.any.js"),
            pytest.param((), 1005, "", id="websockets/Close-1005-verify-code.any.js"),
            pytest.param((None,), 1005, "", id="websockets/Close-undefined.any.js"),
            pytest.param((3000,), 3000, "", id="websockets/Close-3000-verify-code.any.js"),
            pytest.param((3000, "Clean Close"), 3000, "Clean Close", id="websockets/Close-3000-reason.any.js"),
            pytest.param((4999, "Clean Close"), 4999, "Clean Close", id="websockets/Close-4999-reason.any.js"),
            pytest.param((1000, "x" * 123), 1000, "x" * 123, id="123 bytes of reason"),
            pytest.param((None, "only"), 1000, "only", id="a reason alone goes with 1000"),
            pytest.param((1000, "\ud807"), 1000, "\ufffd", id="websockets/Close-reason-unpaired-surrogates.any.js"),
        ],
    )
    async def test_they_reach_the_server_and_come_back(
        self, site: Any, until: Any, arguments: tuple[Any, ...], code: int, reason: str
    ) -> None:
        ws = site.open()
        await until(ws, "open")
        ws.close(*arguments)
        closed = await ws.wait_closed()
        assert (closed.code, closed.reason, closed.was_clean) == (code, reason, True)
        assert await site.ends.get() == (code, reason)

    @pytest.mark.parametrize("code", [0, 500, 999, 1001, 1005, 1006, 2999, 5000, 0x10000 + 1000, -1])
    async def test_others_are_refused(self, home: Any, until: Any, code: int) -> None:
        """WPT: websockets/close-invalid.any.js, websockets/Close-2999-reason.any.js"""
        ws = home.open()
        for _ in range(2):
            with pytest.raises(UsageError, match="1000, or 3000 to 4999"):
                ws.close(code, "Close not in range 3000-4999")
            if ws.ready_state == ws.CONNECTING:
                await until(ws, "open")
        assert ws.ready_state == ws.OPEN
        ws.close()

    @pytest.mark.parametrize("code", ["string", float("nan"), "Close with only reason", True])
    async def test_what_is_no_number_is_no_code(self, home: Any, code: Any) -> None:
        """WPT: websockets/close-invalid.any.js, websockets/Close-onlyReason.any.js"""
        with pytest.raises(TypeError):
            home.open().close(code)

    @pytest.mark.parametrize("reason", ["x" * 124, "å" * 62])
    async def test_a_reason_has_at_most_123_bytes(self, home: Any, until: Any, reason: str) -> None:
        """WPT: websockets/Close-Reason-124Bytes.any.js"""
        ws = home.open()
        await until(ws, "open")
        with pytest.raises(UsageError, match="at most 123 bytes"):
            ws.close(1000, reason)
        assert ws.ready_state == ws.OPEN
        ws.close()


class TestCloseEvent:
    def test_it_can_be_made(self) -> None:
        """WPT: websockets/interfaces/CloseEvent/constructor.html"""
        event = CloseEvent("foo")
        assert (event.type, event.bubbles, event.cancelable) == ("foo", False, False)
        assert (event.was_clean, event.wasClean, event.code, event.reason) == (False, False, 0, "")
        event = CloseEvent("foo", bubbles=True, cancelable=True, was_clean=True, code=7, reason="x")
        assert (event.type, event.bubbles, event.cancelable) == ("foo", True, True)
        assert (event.was_clean, event.wasClean, event.code, event.reason) == (True, True, 7, "x")

    def test_there_is_no_other_way_to_make_one(self) -> None:
        """WPT: websockets/interfaces/CloseEvent/historical.html"""
        assert not hasattr(CloseEvent("close"), "initCloseEvent")

    async def test_it_is_clean_when_both_said_goodbye(self, site: Any) -> None:
        """WPT: websockets/interfaces/CloseEvent/clean-close.html"""
        ws = site.open()
        ws.on_open = lambda _: ws.send("Test")
        ws.on_message = lambda _: ws.close()
        assert (await ws.wait_closed()).was_clean


class TestHandshake:
    async def test_the_server_begins(self, site: Any, heard: Any) -> None:
        """WPT: websockets/closing-handshake/002.html, websockets/Close-server-initiated-close.any.js"""
        ws = site.open("/echo_exit")
        all_of_it = heard(ws)
        ws.on_open = lambda _: ws.send("Goodbye")
        closed = await ws.wait_closed()
        assert (closed.was_clean, closed.code) == (True, 1000)
        assert all_of_it.types == ["open", "close"]
        assert all_of_it.states == [ws.OPEN, ws.CLOSED]

    async def test_the_client_begins(self, site: Any, heard: Any) -> None:
        """WPT: websockets/closing-handshake/003.html"""
        ws = site.open()
        all_of_it = heard(ws)
        ws.add_event_listener("open", lambda _: ws.close())
        closed = await ws.wait_closed()
        assert (closed.was_clean, closed.code) == (True, 1005)
        assert all_of_it.types == ["open", "close"]

    async def test_what_comes_behind_a_close_frame_is_nothing(self, heard: Any) -> None:
        """WPT: websockets/closing-handshake/004.html"""

        async def behavior(client: Any, head: Head) -> None:
            client.write(answer(head))
            await client.frame()
            client.write(frames.close(1000, key=None) + frames.encode(frames.TEXT, b"late", key=None))
            await client.frame()

        async with RawServer(behavior) as server:
            ws = WebSocket(server.url)
            all_of_it = heard(ws)
            ws.on_open = lambda _: ws.send("Goodbye")
            closed = await ws.wait_closed()
        assert closed.was_clean
        assert all_of_it.types == ["open", "close"]

    async def test_close_comes_when_the_handshake_is_complete(self, until: Any) -> None:
        """WPT: websockets/Close-delayed.any.js"""
        asked, go = asyncio.Event(), asyncio.Event()

        async def behavior(client: Any, head: Head) -> None:
            client.write(answer(head))
            await client.frame()
            asked.set()
            await go.wait()
            client.write(frames.close(None, key=None))

        async with RawServer(behavior) as server:
            ws = WebSocket(server.url)
            await until(ws, "open")
            ws.close()
            await asked.wait()
            ended = asyncio.ensure_future(ws.wait_closed())
            await asyncio.sleep(20 * MS)
            assert not ended.done()
            assert ws.ready_state == ws.CLOSING
            go.set()
            assert (await ended).was_clean
            assert ws.ready_state == ws.CLOSED

    async def test_messages_after_the_call_are_dropped(self, heard: Any) -> None:
        async def behavior(client: Any, head: Head) -> None:
            client.write(answer(head))
            await client.frame()
            client.write(frames.encode(frames.TEXT, b"late", key=None))
            client.write(frames.close(1000, key=None))

        async with RawServer(behavior) as server:
            ws = WebSocket(server.url)
            all_of_it = heard(ws)
            ws.on_open = lambda _: ws.close()
            assert (await ws.wait_closed()).was_clean
        assert all_of_it.types == ["open", "close"]

    async def test_a_connection_that_breaks_is_an_error(self, heard: Any) -> None:
        async def behavior(client: Any, head: Head) -> None:
            client.write(answer(head) + frames.encode(frames.TEXT, b"one", key=None))
            await client.frame()
            client.writer.transport.abort()

        async with RawServer(behavior) as server:
            ws = WebSocket(server.url)
            all_of_it = heard(ws)
            ws.on_message = lambda _: ws.send("two")
            closed = await ws.wait_closed()
        assert (closed.code, closed.reason, closed.was_clean) == (1006, "", False)
        assert all_of_it.types == ["open", "message", "error", "close"]
        assert all_of_it.events[2].error.code == 1006


class TestStates:
    def test_they_have_numbers(self) -> None:
        """WPT: websockets/interfaces/WebSocket/constants/001.html"""
        assert (WebSocket.CONNECTING, WebSocket.OPEN, WebSocket.CLOSING, WebSocket.CLOSED) == (0, 1, 2, 3)

    async def test_objects_have_them_too(self, home: Any) -> None:
        """WPT: websockets/interfaces/WebSocket/constants/004.html"""
        ws = home.open()
        assert (ws.CONNECTING, ws.OPEN, ws.CLOSING, ws.CLOSED) == (0, 1, 2, 3)

    async def test_the_first_is_connecting(self, home: Any) -> None:
        """WPT: websockets/interfaces/WebSocket/readyState/001.html"""
        ws = home.open()
        assert ws.ready_state == ws.readyState == ws.CONNECTING

    async def test_they_cannot_be_set(self, home: Any) -> None:
        """WPT: websockets/interfaces/WebSocket/readyState/002.html"""
        ws = home.open()
        with pytest.raises(AttributeError):
            ws.ready_state = 1  # type: ignore[misc]

    async def test_they_cannot_be_deleted(self, home: Any) -> None:
        """WPT: websockets/interfaces/WebSocket/readyState/003.html"""
        ws = home.open()
        with pytest.raises(AttributeError):
            del ws.ready_state  # type: ignore[misc]

    async def test_closing_follows_close_at_once(self, site: Any, until: Any) -> None:
        """WPT: websockets/interfaces/WebSocket/readyState/007.html, websockets/Close-readyState-Closing.any.js"""
        ws = site.open()
        await until(ws, "open")
        ws.close()
        assert ws.ready_state == ws.CLOSING
        await ws.wait_closed()

    async def test_the_last_is_closed(self, site: Any, until: Any) -> None:
        """WPT: websockets/interfaces/WebSocket/readyState/008.html, websockets/Close-readyState-Closed.any.js"""
        ws = site.open()
        await until(ws, "open")
        ws.close()
        await until(ws, "close")
        assert ws.ready_state == ws.CLOSED

    async def test_a_server_that_says_goodbye_makes_it_closing(self, until: Any) -> None:
        said, go = asyncio.Event(), asyncio.Event()

        async def behavior(client: Any, head: Head) -> None:
            client.write(answer(head) + frames.close(1000, key=None))
            await client.frame()
            said.set()
            await go.wait()

        async with RawServer(behavior) as server:
            ws = WebSocket(server.url)
            await until(ws, "open")
            await said.wait()
            assert ws.ready_state == ws.CLOSING
            go.set()
            assert (await ws.wait_closed()).was_clean


class TestClose:
    async def test_while_connecting_it_fails(self, home: Any, heard: Any) -> None:
        """WPT: websockets/interfaces/WebSocket/close/close-basic.html"""
        ws = home.open()
        all_of_it = heard(ws)
        ws.close()
        assert ws.ready_state == ws.CLOSING
        closed = await ws.wait_closed()
        assert isinstance(closed, CloseEvent)
        assert (closed.code, closed.was_clean) == (1006, False)
        assert all_of_it.types == ["error", "close"]
        assert all_of_it.states == [ws.CLOSED, ws.CLOSED]

    async def test_while_the_server_has_not_answered_it_fails(self) -> None:
        """WPT: websockets/interfaces/WebSocket/close/close-connecting.html"""
        asked = asyncio.Event()
        gone = asyncio.Event()

        async def behavior(client: Any, head: Head) -> None:
            asked.set()
            try:
                await client.body()
            finally:
                gone.set()

        async with RawServer(behavior) as server:
            ws = WebSocket(server.url)
            ws.on_open = lambda _: pytest.fail("it must not open")
            await asked.wait()
            assert ws.ready_state == ws.CONNECTING
            ws.close()
            assert ws.ready_state == ws.CLOSING
            assert not (await ws.wait_closed()).was_clean
            await gone.wait()

    async def test_its_events_come_after_the_call(self, home: Any) -> None:
        """WPT: websockets/interfaces/WebSocket/close/close-connecting-async.any.js"""
        ws = home.open()
        told: list[str] = []
        ws.on_error = lambda event: told.append(event.type)
        ws.on_close = lambda event: told.append(event.type)
        ws.close()
        assert told == []
        await ws.wait_closed()
        assert told == ["error", "close"]

    async def test_several_times_is_once(self, home: Any, heard: Any) -> None:
        """WPT: websockets/interfaces/WebSocket/close/close-multiple.html"""
        ws = home.open()
        all_of_it = heard(ws)
        ws.close()
        ws.close()
        ws.close()
        await ws.wait_closed()
        await asyncio.sleep(20 * MS)
        assert all_of_it.types == ["error", "close"]

    async def test_several_times_is_once_when_open_too(self, site: Any, until: Any, heard: Any) -> None:
        ws = site.open()
        all_of_it = heard(ws)
        await until(ws, "open")
        ws.close(3001, "first")
        ws.close(3002, "second")
        closed = await ws.wait_closed()
        assert (closed.code, closed.reason) == (3001, "first")
        assert all_of_it.types == ["open", "close"]

    async def test_in_the_close_event_it_does_nothing(self, home: Any) -> None:
        """WPT: websockets/interfaces/WebSocket/close/close-nested.html"""
        ws = home.open()
        states: list[int] = []

        def again(_: Event) -> None:
            states.append(ws.ready_state)
            ws.close()
            states.append(ws.ready_state)

        ws.on_close = again
        ws.close()
        assert ws.ready_state == ws.CLOSING
        await ws.wait_closed()
        await asyncio.sleep(20 * MS)
        assert states == [ws.CLOSED, ws.CLOSED]

    async def test_it_returns_nothing(self, home: Any) -> None:
        """WPT: websockets/interfaces/WebSocket/close/close-return.html"""
        assert home.open().close() is None

    async def test_what_was_sent_before_goes_first(self, site: Any, until: Any) -> None:
        ws = site.open("/receive", compression=None)
        await until(ws, "open")
        for _ in range(60):
            ws.send(bytes(2**18))
        ws.close(3000)
        assert ws.buffered_amount > 0
        site.go.set()
        assert (await ws.wait_closed()).code == 3000
        assert ws.buffered_amount == 0
        assert await site.ends.get() == (3000, "")


class TestGarbage:
    async def test_one_with_listeners_stays_alive(self, site: Any) -> None:
        told: asyncio.Queue[str] = asyncio.Queue()

        def start() -> weakref.ref[WebSocket]:
            ws = site.open()
            ws.on_open = lambda event: event.target.send("still here")
            ws.on_message = lambda event: told.put_nowait(event.data)
            return weakref.ref(ws)

        known = start()
        gc.collect()
        assert await told.get() == "still here"
        gc.collect()
        ws = known()
        assert ws is not None
        ws.close()
        await ws.wait_closed()
        del ws
        await eventually(lambda: gc.collect() >= 0 and known() is None)

    async def test_one_that_nobody_hears_is_collected_and_closes(self, site: Any, until: Any) -> None:
        ws = site.open()
        await until(ws, "open")
        ws.send("last words")
        known = weakref.ref(ws)
        del ws
        # The event loop lets go of what it called us with when we return to it.
        await asyncio.sleep(0)
        gc.collect()
        assert known() is None
        assert await site.ends.get() == (1005, "")

    async def test_one_whose_end_is_awaited_stays_alive(self, site: Any) -> None:
        def start() -> asyncio.Task[CloseEvent]:
            return asyncio.ensure_future(site.open("/burst?3000").wait_closed())

        ending = start()
        for _ in range(5):
            await asyncio.sleep(0)
            gc.collect()
        assert (await ending).code == 3000

    async def test_one_that_nobody_hears_is_collected_while_it_connects(self) -> None:
        asked, gone = asyncio.Event(), asyncio.Event()

        async def behavior(client: Any, head: Head) -> None:
            asked.set()
            try:
                await client.body()
            finally:
                gone.set()

        async with RawServer(behavior) as server:
            ws = WebSocket(server.url)
            await asked.wait()
            known = weakref.ref(ws)
            del ws
            gc.collect()
            assert known() is None
            await gone.wait()

    async def test_what_it_sent_last_is_sent(self, site: Any, until: Any) -> None:
        ws = site.open("/echo_later", compression=None)
        await until(ws, "open")
        for _ in range(60):
            ws.send(bytes(2**18))
        del ws
        await asyncio.sleep(0)
        gc.collect()
        site.go.set()
        assert await site.ends.get() == (1005, "")

    async def test_what_comes_meanwhile_is_in_nobodys_way(self, site: Any) -> None:
        """The server answers, and goes on reading only if its answers are read: more than fits on the way."""
        ws = await site.open("/echo_later", compression=None, limits=Limits(output=2**26))
        for _ in range(200):
            ws.send(bytes(2**18))
        del ws
        await asyncio.sleep(0)
        gc.collect()
        site.go.set()
        assert await site.ends.get() == (1005, "")
