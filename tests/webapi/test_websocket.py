"""``everwire.browser.WebSocket`` as Python programs use it: awaiting, iterating, files, JSON, coroutines, mistakes."""

from __future__ import annotations

import asyncio
import gc
import io
import logging
import threading
import weakref
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from peer import frames
from peer.http import Head
from peer.server import RawServer, answer
from peer.timing import MS, eventually

from everwire import ConnectionClosedError, HandshakeFailed, LimitExceeded, Limits, UsageError
from everwire.browser import AbortController, CloseEvent, Event, EventTarget, MessageEvent, WebSocket, WebSocketStream


def test_it_says_that_it_needs_an_event_loop() -> None:
    with pytest.raises(UsageError, match=r"asyncio\.run"):
        WebSocket("ws://127.0.0.1:1/")


class TestAwaiting:
    async def test_it_gives_the_object_when_it_is_open(self, site: Any) -> None:
        ws = site.open()
        assert await ws is ws
        assert ws.ready_state == ws.OPEN
        assert await ws is ws
        ws.close()
        await ws.wait_closed()

    async def test_it_raises_what_failed(self) -> None:
        with pytest.raises(OSError, match="refused"):
            await WebSocket("ws://127.0.0.1:1/")

        async def behavior(client: Any, head: Head) -> None:
            client.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

        async with RawServer(behavior) as server:
            with pytest.raises(HandshakeFailed) as raised:
                await WebSocket(server.url)
        assert raised.value.status == 403

    async def test_it_raises_if_it_was_closed_meanwhile(self, home: Any) -> None:
        ws = home.open()
        waiting = asyncio.ensure_future(ws.__aenter__())
        await asyncio.sleep(0)
        ws.close()
        with pytest.raises(UsageError, match="closed before it was open"):
            await waiting

    async def test_a_context_closes_it(self, site: Any) -> None:
        async with site.open() as ws:
            ws.send("x")
        assert ws.ready_state == ws.CLOSED
        assert await site.ends.get() == (1000, "")

    async def test_a_context_that_fails_closes_it_without_a_code(self, site: Any) -> None:
        with pytest.raises(LookupError):
            async with site.open():
                raise LookupError
        assert await site.ends.get() == (1005, "")

    async def test_a_context_whose_entry_is_cancelled_gives_it_up(self) -> None:
        asked, gone = asyncio.Event(), asyncio.Event()

        async def behavior(client: Any, head: Head) -> None:
            asked.set()
            try:
                await client.body()
            finally:
                gone.set()

        async with RawServer(behavior) as server:
            ws = WebSocket(server.url)
            entering = asyncio.ensure_future(ws.__aenter__())
            await asked.wait()
            entering.cancel()
            assert (await ws.wait_closed()).code == 1006
            await gone.wait()

    async def test_the_end_can_be_awaited_by_many(self, site: Any) -> None:
        ws = await site.open()
        waiting = [asyncio.ensure_future(ws.wait_closed()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        ws.close(3000)
        assert [event.code for event in await asyncio.gather(*waiting[1:])] == [3000, 3000]


class TestIterating:
    async def test_it_gives_every_message_and_ends(self, site: Any) -> None:
        ws = site.open("/burst")
        assert [message async for message in ws] == ["0", "1", "2"]
        assert ws.ready_state == ws.CLOSED

    async def test_what_came_before_it_began_is_kept_from_await_on(self, site: Any) -> None:
        ws = await site.open("/burst")
        assert (await ws.wait_closed()).code == 1000
        assert [message async for message in ws] == ["0", "1", "2"]

    async def test_it_can_be_left_and_entered_again(self, site: Any) -> None:
        ws = await site.open("/burst")
        async for message in ws:
            assert message == "0"
            break
        assert [message async for message in ws] == ["1", "2"]

    async def test_it_raises_at_an_end_that_was_not_planned(self, site: Any) -> None:
        seen = []
        with pytest.raises(ConnectionClosedError) as raised:
            async for message in site.open("/burst?4000"):
                seen.append(message)
        assert seen == ["0", "1", "2"]
        assert raised.value.code == 4000

    async def test_it_raises_what_failed_before_it_was_open(self) -> None:
        with pytest.raises(OSError, match="refused"):
            async for _ in WebSocket("ws://127.0.0.1:1/"):
                pass

    async def test_it_ends_after_close(self, site: Any) -> None:
        ws = await site.open()
        for _ in range(3):
            ws.send("x")
        count = 0
        async for _ in ws:
            count += 1
            ws.close(3333)
        assert count == 1
        assert (await ws.wait_closed()).code == 3333

    async def test_a_task_that_is_cancelled_loses_nothing(self, site: Any) -> None:
        ws = await site.open()
        waiting = asyncio.ensure_future(anext(ws))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.sleep(0)
        ws.send("kept")
        assert await anext(ws) == "kept"
        ws.close()

    async def test_messages_have_one_receiver(self, site: Any) -> None:
        ws = await site.open()
        waiting = asyncio.ensure_future(anext(ws))
        await asyncio.sleep(0)
        with pytest.raises(UsageError, match="one receiver"):
            await anext(ws)
        with pytest.raises(UsageError, match="leave the iteration"):
            ws.on_message = print
        assert ws.on_message is None
        ws.send("x")
        assert await waiting == "x"
        ws.on_message = print
        with pytest.raises(UsageError, match="go to the listeners"):
            aiter(ws)
        with pytest.raises(UsageError, match="go to the listeners"):
            await anext(ws)
        ws.on_message = None
        ws.send("y")
        assert await anext(ws) == "y"
        ws.close()

    async def test_a_listener_gets_what_waited(self, site: Any, until: Any) -> None:
        ws = await site.open("/burst")
        got: list[str] = []
        ws.on_message = lambda event: got.append(event.data)
        await ws.wait_closed()
        assert got == ["0", "1", "2"]

    async def test_without_listener_and_iteration_messages_are_dropped(self, site: Any, until: Any) -> None:
        ws = site.open()
        await until(ws, "open")
        ws.send("nobody hears this")
        await asyncio.sleep(50 * MS)
        ws.send("this is heard")
        assert await anext(ws) == "this is heard"
        ws.close()

    async def test_what_nobody_takes_stops_the_server(self, home: Any, standstill: Any) -> None:
        sent = 0

        async def flood(ws: Any, parts: Any) -> None:
            nonlocal sent
            for _ in range(400):
                await ws.send(bytes(65536))
                sent += 1
            await ws.close()

        home.on_flood = flood
        ws = await home.open("/flood", compression=None)
        await eventually(lambda: sent > 0)
        assert await standstill(lambda: sent) < 350
        assert [len(message) async for message in ws] == [65536] * 400


class TestListeners:
    async def test_coroutine_functions_run_as_tasks(self, site: Any) -> None:
        ws = site.open()
        told: list[Any] = []

        async def on_message(event: MessageEvent) -> None:
            await asyncio.sleep(0)
            told.append(event.data)
            if len(told) == 2:
                ws.close()

        ws.on_message = on_message
        ws.on_open = lambda _: (ws.send("1"), ws.send("2"))
        await ws.wait_closed()
        assert told == ["1", "2"]

    @pytest.mark.parametrize("is_async", [False, True])
    async def test_what_one_raises_is_reported_and_harms_nobody(self, site: Any, until: Any, is_async: bool) -> None:
        reports: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: reports.append(context))
        ws = site.open()

        def fail(event: Event) -> None:
            raise LookupError(event.type)

        async def fail_later(event: Event) -> None:
            fail(event)

        for kind in ("open", "message", "close"):
            ws.add_event_listener(kind, fail_later if is_async else fail)
        ws.add_event_listener("open", lambda _: ws.send("x"))
        assert (await until(ws, "message")).data == "x"
        ws.close()
        assert (await ws.wait_closed()).was_clean
        await eventually(lambda: len(reports) == 3)
        assert [str(report["exception"]) for report in reports] == ["open", "message", "close"]
        assert all("listener" in report["message"] for report in reports)

    async def test_objects_with_a_method_listen(self) -> None:
        target = EventTarget()

        class Python:
            def handle_event(self, event: Event) -> None:
                told.append("python")

        class Script:
            def handleEvent(self, event: Event) -> None:  # noqa: N802
                told.append("script")

        told: list[str] = []
        target.add_event_listener("x", Python())
        target.add_event_listener("x", Script())
        target.add_event_listener("x", None)
        target.dispatch_event(Event("x"))
        assert told == ["python", "script"]
        with pytest.raises(TypeError, match="handle_event"):
            target.add_event_listener("x", 1)  # type: ignore[arg-type]

    async def test_once_is_once(self) -> None:
        target, told = EventTarget(), []
        target.add_event_listener("x", told.append, once=True)
        target.addEventListener("x", lambda event: told.append(event), {"once": True})
        for _ in range(2):
            target.dispatch_event(Event("x"))
        assert len(told) == 2

    async def test_a_signal_removes_a_listener(self) -> None:
        target, told, controller = EventTarget(), [], AbortController()
        target.add_event_listener("x", told.append, signal=controller.signal)
        target.dispatch_event(Event("x"))
        controller.abort()
        target.dispatch_event(Event("x"))
        target.add_event_listener("x", told.append, signal=controller.signal)
        target.dispatch_event(Event("x"))
        assert len(told) == 1

    async def test_a_signal_does_not_hold_what_was_removed(self) -> None:
        target, controller = EventTarget(), AbortController()
        target.add_event_listener("x", print, signal=controller.signal)
        target.add_event_listener("y", print, once=True, signal=controller.signal)
        known = weakref.ref(target)
        target.remove_event_listener("x", print)
        target.dispatch_event(Event("y"))
        del target
        gc.collect()
        assert known() is None
        controller.abort()

    async def test_methods_are_removed_as_they_were_added(self) -> None:
        class Own:
            def hear(self, event: Event) -> None:
                told.append(event)

        target, own = EventTarget(), Own()
        told: list[Event] = []
        target.add_event_listener("x", own.hear)
        target.remove_event_listener("x", own.hear)
        target.dispatch_event(Event("x"))
        assert told == []

    async def test_a_failure_that_nobody_hears_is_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.WARNING, "everwire.browser"):
            ws = WebSocket("ws://127.0.0.1:1/")
            await ws.wait_closed()
            assert "connecting to ws://127.0.0.1:1/ failed" in caplog.text
            caplog.clear()
            ws = WebSocket("ws://127.0.0.1:1/")
            ws.on_error = lambda _: None
            await ws.wait_closed()
            assert caplog.text == ""


class TestSending:
    async def test_json_goes_and_comes(self, site: Any, until: Any) -> None:
        ws = await site.open()
        ws.on_message = lambda _: None
        ws.send_json({"é": [1, None]})
        message = await until(ws, "message")
        assert message.data == '{"é":[1,null]}'
        assert message.json() == {"é": [1, None]}
        with pytest.raises(ValueError, match="JSON"):
            ws.send_json(float("nan"))
        with pytest.raises(TypeError):
            ws.send_json(object())
        ws.close()

    async def test_files_keep_their_place(self, site: Any, tmp_path: Path) -> None:
        content = bytes(range(256)) * 4096
        (tmp_path / "binary").write_bytes(content)
        (tmp_path / "text").write_text("å" * 300_000, encoding="utf-8")

        class Slow:
            def __init__(self) -> None:
                self.parts = [b"slow ", b"but sure"]

            async def read(self, size: int) -> bytes:
                await asyncio.sleep(5 * MS)
                return self.parts.pop(0) if self.parts else b""

        with open(tmp_path / "binary", "rb") as binary, open(tmp_path / "text", encoding="utf-8") as text:
            ws = await site.open(max_size=None)
            ws.send("first")
            ws.send(binary)
            ws.send("second")
            ws.send(text)
            ws.send(Slow())
            ws.send(io.BytesIO())
            ws.send(io.StringIO("in memory"))
            ws.send("last")
            assert ws.buffered_amount >= len(content) + 15
            received = [await anext(ws) for _ in range(8)]
            assert ws.buffered_amount == 0
        assert received == ["first", content, "second", "å" * 300_000, b"slow but sure", b"", "in memory", "last"]
        ws.close()

    async def test_a_file_is_sent_from_where_it_stands(self, site: Any) -> None:
        file = io.BytesIO(b"head body")
        file.seek(5)
        async with site.open() as ws:
            ws.send(file)
            assert ws.buffered_amount == 4
            assert await anext(ws) == b"body"

    async def test_a_file_is_read_in_a_thread(self, site: Any) -> None:
        threads: set[str] = set()

        class File:
            data = b"x"

            def read(self, size: int) -> bytes:
                threads.add(threading.current_thread().name)
                data, self.data = self.data, b""
                return data

        async with site.open() as ws:
            ws.send(File())
            assert await anext(ws) == b"x"
        assert threading.current_thread().name not in threads

    async def test_a_file_that_cannot_be_read_fails_the_connection(self, site: Any, heard: Any) -> None:
        ws = await site.open()
        all_of_it = heard(ws)
        with io.BytesIO(b"x") as file:
            pass
        ws.send(file)
        ws.send("behind it")
        closed = await ws.wait_closed()
        assert closed.code == 1011
        assert all_of_it.types == ["error", "close"]
        assert isinstance(all_of_it.events[0].error, ValueError)
        assert (await site.ends.get())[0] == 1011

    async def test_what_was_sent_may_be_changed_afterwards(self, site: Any) -> None:
        ws = await site.open("/echo_later", compression=None)
        data = bytearray(b"x" * 200_000)
        for _ in range(60):
            ws.send(data)
        data[:] = bytes(len(data))
        site.go.set()
        for _ in range(60):
            assert await anext(ws) == b"x" * 200_000
        ws.close()

    async def test_large_messages_go_in_parts(self, site: Any) -> None:
        ws = await site.open(max_size=None, compression=None)
        large = bytes(3 * 2**20 + 1)
        ws.send(large)
        ws.send("a" * (2**20 + 1))
        ws.send("small")
        assert ws.buffered_amount == len(large) + 2**20 + 1 + 5
        assert await anext(ws) == large
        assert await anext(ws) == "a" * (2**20 + 1)
        assert await anext(ws) == "small"
        assert ws.buffered_amount == 0
        ws.close()

    async def test_there_is_a_limit_to_what_waits(self, home: Any) -> None:
        ws = await home.open("/receive", compression=None, limits=Limits(output=2**20))
        sent = 0
        with pytest.raises(LimitExceeded, match="look at buffered_amount"):
            while True:
                ws.send(bytes(2**16))
                sent += 1
        assert 2**20 <= ws.buffered_amount == sent * 2**16 <= 2**24
        assert ws.ready_state == ws.OPEN
        home.go.set()
        for _ in range(sent):
            assert await anext(ws) == "65536"
        ws.send("again")
        assert await anext(ws) == "5"
        ws.close()

    async def test_an_end_leaves_what_was_not_sent_in_the_amount(self, standstill: Any) -> None:
        go = asyncio.Event()

        async def behavior(client: Any, head: Head) -> None:
            client.write(answer(head))
            await go.wait()
            client.reset()

        async with RawServer(behavior) as server:
            ws = await WebSocket(server.url, compression=None)
            for _ in range(200):
                ws.send(bytes(2**16))
            before = await standstill(lambda: ws.buffered_amount)
            assert before % 2**16, "the engine holds a part of a message"
            go.set()
            closed = await ws.wait_closed()
            assert not closed.was_clean
            assert ws.buffered_amount == before
            ws.send("xx")
            assert ws.buffered_amount == before + 2

    async def test_the_server_learns_what_connect_tells_it(self, site: Any) -> None:
        ws = site.open("/header?X", additional_headers={"X": "y"})
        assert await anext(ws) == "y"
        ws.close()

    async def test_options_that_are_not_for_it_are_refused(self, home: Any) -> None:
        with pytest.raises(UsageError, match="use protocols"):
            home.open(subprotocols=["x"])
        with pytest.raises(UsageError, match="there is no argument 'nonsense'"):
            home.open(nonsense=1)

    async def test_messages_above_the_limit_end_it(self, home: Any) -> None:
        ws = await home.open(max_size=10)
        ws.send("x" * 11)
        with pytest.raises(ConnectionClosedError) as raised:
            await anext(ws)
        assert raised.value.sent is not None
        assert raised.value.sent.code == 1009


async def test_it_belongs_to_one_thread(home: Any) -> None:
    ws = await home.open()
    for call in (lambda: ws.send("x"), ws.close):
        with pytest.raises(UsageError, match="thread"):
            await asyncio.to_thread(call)
    ws.send("still open")
    assert await anext(ws) == "still open"
    ws.close()


@pytest.fixture
async def eager() -> AsyncIterator[None]:
    """Tasks that begin within the call that makes them."""
    loop = asyncio.get_running_loop()
    if not hasattr(asyncio, "eager_task_factory") or not isinstance(loop, asyncio.SelectorEventLoop):
        pytest.skip("neither Python 3.11 nor uvloop has eager tasks")
    loop.set_task_factory(asyncio.eager_task_factory)
    yield
    loop.set_task_factory(None)


async def test_eager_tasks_make_no_difference(site: Any, until: Any, eager: None) -> None:
    # Fails before anything waits: not our address (RFC 5737).
    ws = WebSocket("ws://127.0.0.1:1/", local_addr=("203.0.113.1", 0))
    assert ws.ready_state == ws.CONNECTING
    assert (await ws.wait_closed()).code == 1006
    async with site.open() as ws:
        for _ in range(2):
            ws.send(io.BytesIO(b"in memory"))
            assert await anext(ws) == b"in memory"
    ws = site.open("/echo_later", compression=None)
    await until(ws, "open")
    for _ in range(60):
        ws.send(bytes(2**18))
    site.go.set()
    received = 0
    async for message in ws:
        received += len(message)
        if received == 60 * 2**18:
            break
    ws.close()
    await ws.wait_closed()
    wss = WebSocketStream(site.url + "/echo")
    opened = await wss.opened
    writer, reader = opened.writable.get_writer(), opened.readable.get_reader()
    for size in (1, 100_000, 2):
        writer.write(bytes(size))
    # Now they are there before anybody asks for them.
    await asyncio.sleep(50 * MS)
    for size in (1, 100_000, 2):
        assert len((await reader.read()).value or b"") == size
    await writer.close()
    assert await reader.read() == (None, True)


async def test_what_was_read_before_the_end_is_told_first(heard: Any) -> None:
    async def behavior(client: Any, head: Head) -> None:
        client.write(answer(head))
        await client.frame()
        client.write(b"".join(frames.encode(frames.TEXT, b"%d" % number, key=None) for number in range(100)))
        client.write(frames.close(1000, key=None))
        await client.frame()

    async with RawServer(behavior) as server:
        ws = WebSocket(server.url)
        all_of_it = heard(ws)
        ws.on_open = lambda _: ws.send("go")
        await ws.wait_closed()
    assert all_of_it.data == [str(number) for number in range(100)]
    assert all_of_it.states[1:101] == [ws.OPEN] * 100
    assert isinstance(all_of_it.events[-1], CloseEvent)


async def test_it_shows_itself(home: Any) -> None:
    ws = home.open()
    assert repr(ws) == f"<WebSocket CONNECTING {home.url}/echo>"
    assert repr(CloseEvent("close", code=1000, was_clean=True)) == "<CloseEvent close 1000 '' clean>"
    assert repr(MessageEvent("message")) == "<MessageEvent message>"
