"""``everwire.browser.WebSocketStream`` as Python programs use it, and what the streams standard says of its two streams."""

from __future__ import annotations

import asyncio
import gc
import os
import weakref
from collections.abc import Callable
from typing import Any

import psutil
import pytest
from peer import frames
from peer.certificates import client_context
from peer.http import Head
from peer.server import RawServer, answer
from peer.timing import MS, eventually

import everwire
from everwire import ConnectionClosedOK, UsageError
from everwire.browser import AbortController, CloseInfo, OpenInfo, WebSocketError, WebSocketStream

MIB = 1024 * 1024


def stream(site: Any, path: str = "/echo", **options: Any) -> WebSocketStream:
    """Make one to a path."""
    return WebSocketStream(site.url + path, **options)


async def opened(site: Any, path: str = "/echo", **options: Any) -> tuple[WebSocketStream, Any, Any]:
    """One that is open, with a reader and a writer."""
    wss = stream(site, path, **options)
    info = await wss.opened
    return wss, info.readable.get_reader(), info.writable.get_writer()


def test_it_says_that_it_needs_an_event_loop() -> None:
    with pytest.raises(UsageError, match=r"asyncio\.run"):
        WebSocketStream("ws://127.0.0.1:1/")


class TestOpening:
    async def test_a_context_gives_the_streams_and_closes(self, site: Any) -> None:
        async with stream(site) as info:
            assert isinstance(info, OpenInfo)
            await info.writable.get_writer().write("x")
            assert [message async for message in _first(info.readable)] == ["x"]
        assert await site.ends.get() == (1000, "")

    async def test_cancelling_who_waits_for_it_gives_it_up(self) -> None:
        asked, gone = asyncio.Event(), asyncio.Event()

        async def behavior(client: Any, head: Head) -> None:
            asked.set()
            try:
                await client.body()
            finally:
                gone.set()

        async with RawServer(behavior) as server:
            wss = WebSocketStream(server.url)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(20 * MS):
                    await wss.opened
            with pytest.raises(WebSocketError, match="cancelled"):
                await wss.closed
            await asked.wait()
            await gone.wait()

    async def test_cancelling_one_of_two_does_not(self, site: Any) -> None:
        wss = stream(site)

        async def wait() -> OpenInfo:
            return await wss.opened

        first, second = asyncio.ensure_future(wait()), asyncio.ensure_future(wait())
        await asyncio.sleep(0)
        first.cancel()
        assert isinstance(await second, OpenInfo)
        wss.close()
        await wss.closed

    async def test_a_signal_is_a_signal(self, home: Any) -> None:
        with pytest.raises(TypeError, match="AbortController"):
            stream(home, signal=asyncio.Event())
        controller = AbortController()
        with pytest.raises(AttributeError):
            controller.signal.throw_if_rejected()  # type: ignore[attr-defined]
        controller.signal.throw_if_aborted()
        controller.abort("why")
        with pytest.raises(ConnectionAbortedError, match="why"):
            controller.signal.throw_if_aborted()

    async def test_outcomes_that_nobody_awaits_are_quiet(self) -> None:
        reports: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: reports.append(context))
        wss = WebSocketStream("ws://127.0.0.1:1/")
        with pytest.raises(WebSocketError, match="could not be opened"):
            await wss.opened
        del wss
        gc.collect()
        await asyncio.sleep(0)
        assert reports == []


async def _first(readable: Any) -> Any:
    async for message in readable.values(prevent_cancel=True):
        yield message
        return


@pytest.mark.parametrize("is_ours", [True, False], ids=["TLS", "SSLContext"])
async def test_streams_go_through_tls(secure: Any, is_ours: bool) -> None:
    options = secure.options if is_ours else {"ssl": client_context()}
    wss, reader, writer = await opened(secure, max_size=None, compression=None, **options)
    writes = [writer.write(bytes(4 * MIB)) for _ in range(4)]
    assert [len((await reader.read()).value) for _ in range(4)] == [4 * MIB] * 4
    await asyncio.gather(*writes)
    await writer.close()
    assert (await wss.closed).close_code == 1005


class TestReadable:
    async def test_it_has_one_reader_at_a_time(self, site: Any) -> None:
        wss = stream(site)
        readable = (await wss.opened).readable
        assert not readable.locked
        reader = readable.getReader()
        assert readable.locked
        for call in (readable.get_reader, readable.values):
            with pytest.raises(UsageError, match="release_lock"):
                call()
        with pytest.raises(UsageError, match="locked"):
            await readable.cancel()
        reader.releaseLock()
        reader.release_lock()
        assert not readable.locked
        for call in (reader.read, reader.cancel):
            with pytest.raises(UsageError, match="released"):
                await call()
        with pytest.raises(UsageError, match="released"):
            await reader.closed
        readable.get_reader()
        wss.close()
        await wss.closed

    async def test_releasing_the_lock_ends_pending_reads_and_loses_nothing(self, site: Any) -> None:
        wss = stream(site)
        info = await wss.opened
        reader = info.readable.get_reader()
        reading = asyncio.ensure_future(reader.read())
        await asyncio.sleep(0)
        reader.release_lock()
        with pytest.raises(UsageError, match="released"):
            await reading
        await info.writable.get_writer().write("kept")
        assert await info.readable.get_reader().read() == ("kept", False)
        wss.close()
        await wss.closed

    async def test_reads_wait_in_line(self, site: Any) -> None:
        wss, reader, writer = await opened(site)
        reads = [asyncio.ensure_future(reader.read()) for _ in range(3)]
        await asyncio.sleep(0)
        reads[1].cancel()
        for word in ("a", "b"):
            await writer.write(word)
        assert await reads[0] == ("a", False)
        assert await reads[2] == ("b", False)
        wss.close()
        await wss.closed

    async def test_a_read_that_is_cancelled_loses_nothing(self, site: Any) -> None:
        wss, reader, writer = await opened(site)
        for number in range(50):
            await writer.write(str(number))
        seen = []
        while len(seen) < 50:
            reading = asyncio.ensure_future(reader.read())
            for _ in range(len(seen) % 4):
                await asyncio.sleep(0)
            reading.cancel()
            try:
                seen.append((await reading).value)
            except asyncio.CancelledError:
                seen.append((await reader.read()).value)
        assert seen == [str(number) for number in range(50)]
        wss.close()
        await wss.closed

    async def test_what_came_is_read_before_the_end(self, site: Any) -> None:
        wss, reader, _ = await opened(site, "/burst")
        await wss.closed
        assert [(await reader.read()).value for _ in range(3)] == ["0", "1", "2"]
        assert await reader.read() == (None, True)
        await reader.closed

    async def test_what_came_is_read_before_an_error(self) -> None:
        async def behavior(client: Any, head: Head) -> None:
            client.write(answer(head) + frames.encode(frames.TEXT, b"last words", key=None))
            await client.writer.drain()
            await client.frame()
            client.writer.transport.abort()

        async with RawServer(behavior) as server:
            wss = WebSocketStream(server.url)
            info = await wss.opened
            await info.writable.get_writer().write("go")
            with pytest.raises(WebSocketError):
                await wss.closed
            reader = info.readable.get_reader()
            assert await reader.read() == ("last words", False)
            with pytest.raises(WebSocketError):
                await reader.read()

    async def test_iterating_reads_to_the_end(self, site: Any) -> None:
        wss = stream(site, "/burst")
        readable = (await wss.opened).readable
        assert [message async for message in readable] == ["0", "1", "2"]
        assert not readable.locked

    async def test_leaving_an_iteration_cancels(self, site: Any) -> None:
        wss = stream(site)
        info = await wss.opened
        await info.writable.get_writer().write("x")
        async for _ in info.readable:
            break
        assert (await wss.closed).close_code == 1005
        assert await info.readable.get_reader().read() == (None, True)

    async def test_leaving_an_iteration_need_not_cancel(self, site: Any) -> None:
        wss = stream(site, "/burst")
        readable = (await wss.opened).readable
        async for message in readable.values(prevent_cancel=True):
            assert message == "0"
            break
        await eventually(lambda: not readable.locked)
        assert [message async for message in readable] == ["1", "2"]

    async def test_cancelling_ends_pending_reads(self, site: Any) -> None:
        wss, reader, _ = await opened(site)
        reading = asyncio.ensure_future(reader.read())
        await asyncio.sleep(0)
        await reader.cancel(WebSocketError(close_code=3001))
        assert await reading == (None, True)
        await reader.closed
        await reader.cancel()
        assert (await wss.closed).close_code == 3001

    async def test_cancelling_does_not_need_the_server_to_be_quiet(self, home: Any) -> None:
        async def flood(ws: Any, parts: Any) -> None:
            while True:
                await ws.send(bytes(65536))

        home.on_flood = flood
        wss, reader, _ = await opened(home, "/flood", compression=None)
        await reader.read()
        await reader.cancel()
        assert (await asyncio.wait_for(_settled(wss.closed), 5000 * MS)).close_code == 1005


async def _settled(outcome: Any) -> Any:
    return await outcome


class TestWritable:
    async def test_it_has_one_writer_at_a_time(self, site: Any) -> None:
        wss = stream(site)
        writable = (await wss.opened).writable
        writer = writable.getWriter()
        assert writable.locked
        with pytest.raises(UsageError, match="release_lock"):
            writable.get_writer()
        with pytest.raises(UsageError, match="locked"):
            writable.close()
        with pytest.raises(UsageError, match="locked"):
            await writable.abort()
        writer.releaseLock()
        assert not writable.locked
        for outcome in (writer.ready, writer.closed, writer.write("x"), writer.close(), writer.abort()):
            with pytest.raises(UsageError, match="released"):
                await outcome
        with pytest.raises(UsageError, match="released"):
            _ = writer.desiredSize
        await writable.close()
        assert (await wss.closed).close_code == 1005

    async def test_writes_need_not_be_awaited(self, site: Any) -> None:
        wss, reader, writer = await opened(site, max_size=None)
        for size in (1, 2 * MIB, 3):
            writer.write(bytes(size))
        assert writer.desired_size == writer.desiredSize == -1
        assert [len((await reader.read()).value) for _ in range(3)] == [1, 2 * MIB, 3]
        await writer.ready
        assert writer.desired_size == 1
        wss.close()
        await wss.closed

    async def test_what_was_written_may_be_changed_afterwards(self, site: Any) -> None:
        wss, reader, writer = await opened(site, max_size=None)
        data = bytearray(b"x" * 2 * MIB)
        writer.write("first")
        writer.write(data)
        data[:] = bytes(len(data))
        assert (await reader.read()).value == "first"
        assert set((await reader.read()).value) == {ord("x")}
        wss.close()
        await wss.closed

    async def test_a_write_is_done_below_the_high_water_mark(self, site: Any) -> None:
        wss, _, writer = await opened(site, "/receive", compression=None)
        wire = wss._duplex._wire
        while True:
            writing = asyncio.ensure_future(_settled(writer.write(bytes(MIB // 2))))
            await asyncio.wait([writing], timeout=50 * MS)
            if not writing.done():
                break
            assert wire.write_buffer_size <= everwire.Limits().write_high
        assert wire.write_buffer_size > everwire.Limits().write_high
        site.go.set()
        await writing
        assert wire.write_buffer_size <= everwire.Limits().write_high
        wss.close()

    async def test_closing_writes_everything_first(self, site: Any) -> None:
        wss, _, writer = await opened(site, "/receive", compression=None)
        writes = [writer.write(bytes(MIB)) for _ in range(10)]
        closing = writer.close()
        late = writer.write("late")
        with pytest.raises(UsageError, match="closed"):
            await late
        with pytest.raises(UsageError, match="closed already"):
            await writer.close()
        site.go.set()
        await closing
        await asyncio.gather(*writes)
        await writer.closed
        assert writer.desired_size == 0
        assert (await wss.closed).close_code == 1005
        with pytest.raises(UsageError, match="closed"):
            await writer.write("later")

    async def test_aborting_fails_what_waits(self, home: Any) -> None:
        wss, _, writer = await opened(home, "/receive", compression=None)
        writes = [writer.write(bytes(8 * MIB)) for _ in range(4)]
        await asyncio.sleep(20 * MS)
        reason = WebSocketError("enough", close_code=3999, reason="enough")
        await writer.abort(reason)
        for outcome in (*writes[1:], writer.ready, writer.closed, writer.write("x")):
            with pytest.raises(WebSocketError) as raised:
                await outcome
            assert raised.value is reason
        assert writer.desired_size is None
        await writer.abort()
        home.go.set()
        await asyncio.wait([asyncio.ensure_future(_settled(wss.closed))])
        assert await home.ends.get() == (3999, "enough")

    async def test_closing_the_whole_fails_what_waits(self, home: Any) -> None:
        wss, _, writer = await opened(home, "/receive", compression=None)
        writes = [writer.write(bytes(8 * MIB)) for _ in range(4)]
        await asyncio.sleep(20 * MS)
        wss.close(close_code=3998)
        home.go.set()
        with pytest.raises(WebSocketError) as closed:
            await wss.closed
        assert closed.value.close_code == 3998
        for outcome in (writes[-1], writer.ready, writer.closed):
            with pytest.raises(WebSocketError) as raised:
                await outcome
            assert raised.value is closed.value

    async def test_nothing_is_written_after_a_clean_end(self, site: Any) -> None:
        wss, _, writer = await opened(site, "/remote-close?code=1000")
        await wss.closed
        for outcome in (writer.ready, writer.closed, writer.write("x"), writer.close()):
            with pytest.raises(ConnectionClosedOK):
                await outcome

    async def test_writing_while_it_closes_makes_it_no_less_clean(self, site: Any) -> None:
        wss, _, writer = await opened(site)
        wss.close(close_code=3000)
        late = writer.write("late")
        assert (await wss.closed).close_code == 3000
        with pytest.raises(everwire.ConnectionClosed):
            await late

    async def test_a_write_can_be_cancelled_without_being_undone(self, site: Any) -> None:
        wss, reader, writer = await opened(site, max_size=None)
        writing = asyncio.ensure_future(_settled(writer.write(bytes(4 * MIB))))
        await asyncio.sleep(0)
        writing.cancel()
        assert len((await reader.read()).value) == 4 * MIB
        wss.close()
        await wss.closed


class TestMemory:
    """A sender of 128 MiB to a receiver that takes its time, each way: what lies between is bounded."""

    COUNT, SIZE = 512, MIB // 4

    async def test_it_stays_flat_when_the_server_is_faster(self, home: Any) -> None:
        async def flood(ws: Any, parts: Any) -> None:
            for _ in range(self.COUNT):
                await ws.send(bytes(self.SIZE))
            await ws.close()

        home.on_flood = flood
        memory = psutil.Process(os.getpid()).memory_info
        wss = stream(home, "/flood", compression=None)
        readable = (await wss.opened).readable
        await asyncio.sleep(100 * MS)
        before, most, received = memory().rss, 0, 0
        async for message in readable:
            received += len(message)
            if received % (16 * self.SIZE) == 0:
                await asyncio.sleep(1 * MS)
                most = max(most, memory().rss)
        assert received == self.COUNT * self.SIZE
        assert most - before < 24 * MIB

    async def test_it_stays_flat_when_the_client_is_faster(self, home: Any) -> None:
        received = 0

        async def sip(ws: Any, parts: Any) -> None:
            nonlocal received
            async for message in ws:
                received += len(message)
                if received % (16 * self.SIZE) == 0:
                    await asyncio.sleep(1 * MS)

        home.on_sip = sip
        memory = psutil.Process(os.getpid()).memory_info
        wss = stream(home, "/sip", compression=None)
        writer = (await wss.opened).writable.get_writer()
        chunk = bytes(self.SIZE)
        before, most = memory().rss, 0
        for _ in range(self.COUNT):
            await writer.write(chunk)
            most = max(most, memory().rss)
        await writer.close()
        assert received == self.COUNT * self.SIZE
        assert most - before < 24 * MIB


class TestGarbage:
    async def test_one_that_nobody_holds_closes(self, site: Any) -> None:
        wss: Any = stream(site)
        info: Any = await wss.opened
        known = weakref.ref(wss._duplex)
        wss = None
        gc.collect()
        assert known() is not None, "its streams are held"
        info = None  # noqa: F841
        await asyncio.sleep(0)
        gc.collect()
        assert known() is None
        assert await site.ends.get() == (1005, "")

    @pytest.mark.parametrize("what", ["closed", "reader", "writer"])
    async def test_one_whose_end_is_awaited_stays(self, what: str) -> None:
        go = asyncio.Event()

        async def behavior(client: Any, head: Head) -> None:
            client.write(answer(head))
            await go.wait()
            client.write(frames.close(3000, key=None))
            await client.frame()

        async with RawServer(behavior) as server:

            def start(wss: WebSocketStream, info: OpenInfo) -> Any:
                if what == "closed":
                    return wss.closed
                return (info.readable.get_reader() if what == "reader" else info.writable.get_writer()).closed

            wss: Any = WebSocketStream(server.url)
            outcome = start(wss, await wss.opened)
            waiting = asyncio.ensure_future(_settled(outcome))
            wss = outcome = None
            for _ in range(5):
                await asyncio.sleep(0)
                gc.collect()
            go.set()
            if what == "writer":
                with pytest.raises(everwire.ConnectionClosedError):
                    await waiting
            else:
                assert await waiting in (None, CloseInfo(3000))

    async def test_one_that_is_only_awaited_opens(self, site: Any) -> None:
        def start() -> Any:
            return asyncio.ensure_future(_settled(stream(site).opened))

        opening = start()
        await asyncio.sleep(0)
        gc.collect()
        assert isinstance(await opening, OpenInfo)

    async def test_one_that_is_read_stays(self, site: Any) -> None:
        def start(info: OpenInfo) -> asyncio.Task[Any]:
            return asyncio.ensure_future(info.readable.get_reader().read())

        wss: Any = stream(site)
        info: Any = await wss.opened
        writing: Any = info.writable.get_writer().write("x")
        reading = start(info)
        wss = info = None
        gc.collect()
        await writing
        writing = None
        assert await reading == ("x", False)
        await eventually(lambda: gc.collect() >= 0 and not site.ends.empty())


async def test_standstill_of_a_stream_that_is_not_read(home: Any, standstill: Callable[..., Any]) -> None:
    sent = 0

    async def flood(ws: Any, parts: Any) -> None:
        nonlocal sent
        for _ in range(2000):
            await ws.send(bytes(65536))
            sent += 1
        await ws.close()

    home.on_flood = flood
    wss = stream(home, "/flood", compression=None)
    readable = (await wss.opened).readable
    await eventually(lambda: sent > 0)
    held = await standstill(lambda: sent)
    assert held < 1000, "125 MiB in all: what is held is the kernel's"
    assert everwire._core.memory_held() < 4 * MIB
    assert sum([len(message) async for message in readable]) == 2000 * 65536
