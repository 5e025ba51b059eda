"""What the web platform's tests say of messages: what is sent, what comes, and ``bufferedAmount``. Each test names theirs."""

from __future__ import annotations

import array
import asyncio
import io
import struct
import sys
from typing import Any

import pytest
from peer import frames
from peer.http import Head
from peer.server import RawServer, answer
from peer.timing import eventually

from everwire import UsageError
from everwire.browser import MessageEvent, WebSocket

NUMBERS = struct.pack("<8H", *range(8))


def view(code: str, start: int = 0, stop: int | None = None) -> memoryview:
    """A part of an array of numbers."""
    return memoryview(array.array(code, range(8)))[start:stop]


def offset(code: str, start: int, length: int | None = None) -> memoryview:
    """Items of a buffer from a byte on, as JavaScript's views have them."""
    size = struct.calcsize(code)
    stop = len(NUMBERS) if length is None else start + length * size
    return memoryview(NUMBERS)[start:stop].cast(code)


def halves() -> memoryview:
    """Numbers of two bytes each; Python 3.11 has no views of them."""
    plain = memoryview(struct.pack("8e", *range(8)))
    return plain.cast("e") if sys.version_info >= (3, 12) else plain


class TestSending:
    @pytest.mark.parametrize(
        "data",
        [
            pytest.param("Message to send", id="websockets/Send-data.any.js"),
            pytest.param("", id="websockets/Send-0byte-data.any.js"),
            pytest.param("c" * 65000, id="websockets/Send-65K-data.any.js"),
            pytest.param("¥¥¥¥¥¥", id="websockets/Send-unicode-data.any.js"),
            pytest.param("å å \U0001047e", id="websockets/interfaces/WebSocket/send/011.html"),
            pytest.param("null", id="websockets/Send-null.any.js"),
        ],
    )
    async def test_text_comes_back(self, site: Any, until: Any, data: str) -> None:
        ws = site.open()
        ws.on_open = lambda _: ws.send(data)
        assert (await until(ws, "message")).data == data
        ws.close()
        assert (await ws.wait_closed()).was_clean

    @pytest.mark.parametrize(
        ("data", "expected"),
        [
            pytest.param("\ud807", "\ufffd", id="websockets/Send-unpaired-surrogates.any.js"),
            pytest.param("\ud801\udc07", "\U00010407", id="websockets/Send-paired-surrogates.any.js"),
            pytest.param(
                "a\udc00xb\ud800xc\udc00\ud800x",
                "a\ufffdxb\ufffdxc\ufffd\ufffdx",
                id="websockets/interfaces/WebSocket/send/006.html",
            ),
        ],
    )
    async def test_surrogates_become_what_they_can(self, site: Any, until: Any, data: str, expected: str) -> None:
        ws = site.open()
        ws.on_open = lambda _: ws.send(data)
        assert (await until(ws, "message")).data == expected
        ws.close()

    @pytest.mark.parametrize(
        ("data", "expected"),
        [
            pytest.param(bytes(15), bytes(15), id="websockets/Send-binary-arraybuffer.any.js"),
            pytest.param(bytearray(65000), bytes(65000), id="websockets/Send-binary-65K-arraybuffer.any.js"),
            pytest.param(
                view("f"),
                struct.pack("8f", *range(8)),
                id="websockets/Send-binary-arraybufferview-float32.any.js",
            ),
            pytest.param(
                view("d"), struct.pack("8d", *range(8)), id="websockets/Send-binary-arraybufferview-float64.any.js"
            ),
            pytest.param(
                halves(),
                struct.pack("8e", *range(8)),
                id="websockets/Send-binary-arraybufferview-float16.any.js",
            ),
            pytest.param(
                view("i"), struct.pack("8i", *range(8)), id="websockets/Send-binary-arraybufferview-int32.any.js"
            ),
            pytest.param(
                view("b"), struct.pack("8b", *range(8)), id="websockets/Send-binary-arraybufferview-int8.any.js"
            ),
            pytest.param(offset("h", 2), NUMBERS[2:], id="websockets/Send-binary-arraybufferview-int16-offset.any.js"),
            pytest.param(
                offset("H", 2, 4),
                NUMBERS[2:10],
                id="websockets/Send-binary-arraybufferview-uint16-offset-length.any.js",
            ),
            pytest.param(offset("I", 4), NUMBERS[4:], id="websockets/Send-binary-arraybufferview-uint32-offset.any.js"),
            pytest.param(
                offset("B", 2, 4), NUMBERS[2:6], id="websockets/Send-binary-arraybufferview-uint8-offset-length.any.js"
            ),
            pytest.param(offset("B", 2), NUMBERS[2:], id="websockets/Send-binary-arraybufferview-uint8-offset.any.js"),
            pytest.param(memoryview(NUMBERS)[::2], NUMBERS[::2], id="every second byte"),
            pytest.param(array.array("H", [1, 2]), struct.pack("2H", 1, 2), id="an array"),
            pytest.param(b"", b"", id="nothing"),
        ],
    )
    async def test_bytes_come_back(self, site: Any, until: Any, data: Any, expected: bytes) -> None:
        ws = site.open()
        ws.binary_type = "arraybuffer"
        ws.on_open = lambda _: ws.send(data)
        assert (await until(ws, "message")).data == expected
        ws.close()
        assert (await ws.wait_closed()).was_clean

    async def test_a_file_comes_back(self, site: Any, until: Any) -> None:
        """WPT: websockets/Send-binary-blob.any.js, websockets/binary/001.html, websockets/binary/002.html"""
        for size in (10, 100_000):
            ws = site.open()
            ws.binary_type = "blob"
            ws.on_open = lambda _, ws=ws, size=size: ws.send(io.BytesIO(bytes(size)))
            data = (await until(ws, "message")).data
            assert isinstance(data, io.BytesIO)
            assert data.getvalue() == bytes(size)
            ws.close()
            assert (await ws.wait_closed()).was_clean

    @pytest.mark.parametrize("size", [10, 100_000])
    async def test_bytes_come_as_bytes(self, site: Any, until: Any, size: int) -> None:
        """WPT: websockets/binary/004.html, websockets/binary/005.html"""
        ws = site.open()
        ws.binary_type = "arraybuffer"
        ws.on_open = lambda _: ws.send(bytes(size))
        assert (await until(ws, "message")).data == bytes(size)
        ws.close()

    @pytest.mark.parametrize("size", [125, 126, 127, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x10001])
    async def test_every_form_of_length(self, site: Any, until: Any, size: int) -> None:
        """WPT: websockets/extended-payload-length.html"""
        ws = site.open()
        ws.on_open = lambda _: ws.send("x" * size)
        assert (await until(ws, "message")).data == "x" * size
        ws.close()

    async def test_before_it_is_open_it_is_refused(self, home: Any) -> None:
        """WPT: websockets/Send-before-open.any.js, websockets/interfaces/WebSocket/send/003.html"""
        with pytest.raises(UsageError, match="not open yet"):
            home.open().send("a")

    @pytest.mark.parametrize("text", ["a\udc00x", "a\ud800x", "a\udc00\ud800x"])  # noqa: PT014
    async def test_lone_surrogates_make_no_difference_to_that(self, home: Any, text: str) -> None:
        """WPT: websockets/interfaces/WebSocket/send/004.html"""
        with pytest.raises(UsageError, match="not open yet"):
            home.open().send(text)

    async def test_it_wants_something_to_send(self, home: Any) -> None:
        """WPT: websockets/interfaces/WebSocket/send/001.html"""
        with pytest.raises(TypeError):
            home.open().send()

    @pytest.mark.parametrize("data", [None, 1, {}, [], object(), len])
    async def test_what_is_no_message_is_refused(self, home: Any, until: Any, data: Any) -> None:
        """WPT: websockets/interfaces/WebSocket/send/010.html, websockets/interfaces/WebSocket/send/012.html: there as text"""
        ws = home.open()
        await until(ws, "open")
        with pytest.raises(TypeError, match="a message is str, bytes-like, or a file"):
            ws.send(data)
        assert ws.buffered_amount == 0
        ws.close()

    async def test_it_returns_nothing(self, home: Any, until: Any) -> None:
        """WPT: websockets/interfaces/WebSocket/send/005.html"""
        ws = home.open()
        await until(ws, "open")
        assert ws.send("test") is None
        ws.close()

    async def test_after_close_it_does_nothing(self, site: Any, heard: Any) -> None:
        """WPT: websockets/interfaces/WebSocket/send/007.html"""
        ws = site.open()
        all_of_it = heard(ws)

        def leave(_: object) -> None:
            ws.close()
            assert ws.send("test") is None

        ws.on_open = leave
        await ws.wait_closed()
        assert all_of_it.types == ["open", "close"]

    async def test_in_the_close_event_it_does_nothing(self, site: Any) -> None:
        """WPT: websockets/interfaces/WebSocket/send/008.html"""
        ws = site.open("/echo_exit")
        ws.on_open = lambda _: ws.send("Goodbye")
        sent: list[Any] = []
        ws.on_close = lambda _: sent.append(ws.send("test"))
        await ws.wait_closed()
        assert sent == [None]

    async def test_nothing_is_a_message_too(self, site: Any, until: Any) -> None:
        """WPT: websockets/interfaces/WebSocket/send/009.html"""
        ws = site.open("/empty-message")
        ws.on_open = lambda _: ws.send("")
        assert (await until(ws, "message")).data == "pass"
        ws.close()
        assert (await ws.wait_closed()).was_clean

    async def test_many_large_ones_to_a_slow_reader(self, site: Any, until: Any) -> None:
        """WPT: websockets/send-many-64K-messages-with-backpressure.any.js"""
        ws = site.open("/slow")
        await until(ws, "open")
        for _ in range(50):
            ws.send(bytes(65536))
        answers: list[str] = []

        def count(event: MessageEvent) -> None:
            answers.append(event.data)
            if len(answers) == 50:
                ws.close()

        ws.on_message = count
        assert (await ws.wait_closed()).was_clean
        assert answers == ["65536"] * 50

    async def test_idle_connections_stay(self) -> None:
        """WPT: websockets/keeping-connection-open/001.html, in less time: a server that pings is answered"""

        async def behavior(client: Any, head: Head) -> None:
            client.write(answer(head) + frames.encode(frames.PING, b"there?", key=None))
            pong = await client.frame()
            assert (pong.opcode, pong.payload) == (frames.PONG, b"there?")
            client.write(frames.encode(frames.TEXT, b"test", key=None))
            await client.closed()

        async with RawServer(behavior) as server:
            ws = WebSocket(server.url)
            async for message in ws:
                assert message == "test"
                break
            ws.close()


class TestBinaryType:
    async def test_a_wrong_one_is_refused(self, home: Any, until: Any) -> None:
        """WPT: websockets/binaryType-wrong-value.any.js, where it stays what it was without a word"""
        ws = home.open()
        await until(ws, "open")
        for name in ("notBlobOrArrayBuffer", "", "Blob"):
            with pytest.raises(UsageError, match="there is no binary type"):
                ws.binary_type = name
        assert ws.binary_type == "bytes"
        ws.close()

    async def test_it_can_be_set_while_it_connects(self, home: Any) -> None:
        """WPT: websockets/Create-valid-url-binaryType-blob.any.js"""
        ws = home.open()
        ws.binaryType = "blob"
        assert (ws.binary_type, ws.binaryType) == ("file", "blob")
        async with ws:
            pass

    @pytest.mark.parametrize(
        ("name", "own", "script", "kind"),
        [
            ("bytes", "bytes", "arraybuffer", bytes),
            ("arraybuffer", "bytes", "arraybuffer", bytes),
            ("memoryview", "memoryview", "arraybuffer", memoryview),
            ("file", "file", "blob", io.BytesIO),
            ("blob", "file", "blob", io.BytesIO),
        ],
    )
    async def test_it_is_what_messages_are(
        self, home: Any, heard: Any, name: str, own: str, script: str, kind: type
    ) -> None:
        ws = home.open()
        all_of_it = heard(ws)
        ws.binary_type = name
        assert (ws.binary_type, ws.binaryType) == (own, script)
        ws.on_open = lambda _: (ws.send("text"), ws.send(b"[1]"))
        await eventually(lambda: len(all_of_it.data) == 2)
        text, binary = all_of_it.data
        assert text == "text"
        assert isinstance(binary, kind)
        assert all_of_it.events[2].json() == [1]
        ws.close()


class TestBufferedAmount:
    async def test_it_is_nothing_at_first(self, home: Any) -> None:
        """WPT: websockets/interfaces/WebSocket/bufferedAmount/bufferedAmount-initial.html"""
        ws = home.open()
        assert ws.buffered_amount == ws.bufferedAmount == 0

    async def test_it_cannot_be_set(self, home: Any) -> None:
        """WPT: websockets/interfaces/WebSocket/bufferedAmount/bufferedAmount-readonly.html"""
        ws = home.open()
        with pytest.raises(AttributeError):
            ws.buffered_amount = 5

    async def test_it_cannot_be_deleted(self, home: Any) -> None:
        """WPT: websockets/interfaces/WebSocket/bufferedAmount/bufferedAmount-deleting.html"""
        ws = home.open()
        with pytest.raises(AttributeError):
            del ws.buffered_amount

    async def test_it_grows_at_the_call_and_falls_between_events(self, site: Any) -> None:
        """WPT: websockets/interfaces/WebSocket/bufferedAmount/bufferedAmount-getting.html"""
        ws = site.open()
        grown: list[int] = []

        def send(_: object) -> None:
            for text in ("x", "å", "匶", "\U0001047e"):
                ws.send(text)
                grown.append(ws.buffered_amount)

        ws.on_open = send
        left = []
        async for message in ws:
            left.append((message, ws.buffered_amount))
            if len(left) == 4:
                ws.close()
        assert grown == [1, 3, 6, 10]
        assert left == [("x", 0), ("å", 0), ("匶", 0), ("\U0001047e", 0)]

    @pytest.mark.parametrize(
        ("data", "amount"),
        [
            pytest.param(
                bytes(10), 10, id="websockets/interfaces/WebSocket/bufferedAmount/bufferedAmount-arraybuffer.html"
            ),
            pytest.param(
                io.BytesIO(bytes(10)), 10, id="websockets/interfaces/WebSocket/bufferedAmount/bufferedAmount-blob.html"
            ),
            pytest.param(
                "x" * 65000, 65000, id="websockets/interfaces/WebSocket/bufferedAmount/bufferedAmount-large.html"
            ),
            pytest.param("å 匶", 6, id="websockets/interfaces/WebSocket/bufferedAmount/bufferedAmount-unicode.html"),
        ],
    )
    async def test_it_counts_bytes(self, home: Any, until: Any, data: Any, amount: int) -> None:
        ws = home.open()
        if isinstance(data, io.BytesIO):
            data.seek(0)
        await until(ws, "open")
        ws.send(data)
        assert ws.buffered_amount == amount
        await until(ws, "message")
        assert ws.buffered_amount == 0
        ws.close()

    async def test_nothing_of_it_goes_while_a_program_computes(self, site: Any, until: Any) -> None:
        """WPT: websockets/bufferedAmount-unchanged-by-sync-xhr.any.js"""
        ws = site.open()
        await until(ws, "open")
        ws.send("x" * 1000)
        sum(range(100_000))
        assert ws.buffered_amount == 1000
        await until(ws, "message")
        ws.close()

    async def test_what_is_dropped_stays_counted(self, site: Any, until: Any) -> None:
        ws = site.open()
        await until(ws, "open")
        ws.close()
        ws.send("xx")
        assert ws.buffered_amount == 2
        await ws.wait_closed()
        ws.send(b"xxx")
        assert ws.buffered_amount == 5

    async def test_what_is_dropped_without_ever_being_open_is_counted(self) -> None:
        ws = WebSocket("ws://127.0.0.1:1/")
        ws.close()
        ws.send("xx")
        await ws.wait_closed()
        ws.send("x")
        assert ws.buffered_amount == 3

    @pytest.mark.parametrize("compression", [None, "deflate"])
    async def test_it_is_what_a_peer_that_does_not_read_leaves(
        self, site: Any, until: Any, compression: str | None
    ) -> None:
        ws = site.open("/receive", compression=compression)
        await until(ws, "open")
        size, count = 2**18, 60
        noise = b"".join(bytes([number * 7919 % 251]) for number in range(size))
        for _ in range(count):
            ws.send(noise)
        assert ws.buffered_amount == size * count
        answers = 0
        before = ws.buffered_amount
        site.go.set()
        async for _ in ws:
            answers += 1
            assert ws.buffered_amount <= min(before, size * (count - answers))
            before = ws.buffered_amount
            if answers == count:
                break
        assert ws.buffered_amount == 0
        ws.close()
        await asyncio.wait_for(ws.wait_closed(), 5)
