"""A hostile server, byte for byte, against ``connect()``: what it may not answer, and what it may not send."""

from __future__ import annotations

import asyncio
import time

import pytest
from peer import frames
from peer.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, encode
from peer.server import RawServer, answer
from peer.timing import MS

import everwire
from everwire import _core


def answering(*args, **kwargs):
    """A server that answers every handshake like this, and waits for the client to leave."""

    async def behavior(client, head):
        client.write(answer(head, *args, **kwargs))
        await client.reader.read()

    return RawServer(behavior)


def saying(data):
    """A server that says this instead of an answer, and waits for the client to leave."""

    async def behavior(client, head):
        client.write(data)
        await client.reader.read()

    return RawServer(behavior)


async def rejected(server, **options):
    """Why connecting failed."""
    async with server:
        with pytest.raises(everwire.HandshakeFailed) as raised:
            await everwire.connect(server.url, **options)
    return raised.value


class TestRFC6455Section4_1:
    """What a server must answer."""

    @pytest.mark.parametrize(
        ("fields", "without"),
        [
            ((), ("Sec-WebSocket-Accept",)),
            (("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",), ("Sec-WebSocket-Accept",)),
            (("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",), ()),
            ((), ("Upgrade",)),
            (("Upgrade: h2c",), ("Upgrade",)),
            ((), ("Connection",)),
            (("Connection: keep-alive",), ("Connection",)),
            (("Sec-WebSocket-Protocol: never-offered",), ()),
            (("Sec-WebSocket-Extensions: x-never-offered",), ()),
            (("Sec-WebSocket-Extensions: permessage-deflate, permessage-deflate",), ()),
            (("Sec-WebSocket-Extensions: permessage-deflate; unknown",), ()),
            (("Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=7",), ()),
            (("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=16",), ()),
        ],
    )
    async def test_anything_else_is_a_broken_protocol(self, fields, without):
        error = await rejected(answering(*fields, without=without))
        assert error.status in (101, None)
        assert isinstance(error.__cause__, everwire.ProtocolError)

    async def test_an_extension_that_was_not_offered_at_all(self):
        server = answering("Sec-WebSocket-Extensions: permessage-deflate")
        error = await rejected(server, compression=None)
        assert isinstance(error.__cause__, everwire.ProtocolError)

    @pytest.mark.parametrize(
        "fields",
        [
            ("Sec-WebSocket-Protocol: chat, superchat",),
            ("Sec-WebSocket-Protocol: chat", "Sec-WebSocket-Protocol: superchat"),
            ("Sec-WebSocket-Protocol: Chat",),
            ("Sec-WebSocket-Protocol: ",),
        ],
    )
    async def test_one_subprotocol_of_those_offered(self, fields):
        error = await rejected(answering(*fields), subprotocols=["chat", "superchat"])
        assert isinstance(error.__cause__, everwire.ProtocolError)

    async def test_fields_are_lists_of_tokens(self):
        fields = ("Upgrade: WebSocket", "Connection: keep-alive, upgrade", "Sec-WebSocket-Protocol: superchat")
        server = answering(*fields, without=("Upgrade", "Connection"))
        async with server:
            options = {"subprotocols": ["chat", "superchat"], "close_timeout": 100 * MS}
            async with everwire.connect(server.url, **options) as connection:
                assert connection.subprotocol == "superchat"

    async def test_a_fresh_key_for_every_handshake(self):
        keys = set()

        async def behavior(client, head):
            keys.add(head["sec-websocket-key"])
            client.write(answer(head) + frames.close(1000, key=None))
            assert (await client.frame()).code == 1000

        async with RawServer(behavior) as server:
            for _ in range(3):
                await (await everwire.connect(server.url)).wait_closed()
        assert len(keys) == 3


class TestRFC9112:
    """What is no answer at all."""

    @pytest.mark.parametrize(
        "data",
        [
            b"\x00garbage\r\n\r\n",
            b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
            b"\x15\x03\x01\x00\x02\x02\x46",
            b"HTTP/1.1 101 Switching Protocols\n\n",
            b"HTTP/1.0 101 Switching Protocols\r\n\r\n",
            b"HTTP/2 101\r\n\r\n",
            b"HTTP/1.1 1o1 Switching Protocols\r\n\r\n",
            b"HTTP/1.1 101 Switching Protocols\r\nX : y\r\n\r\n",
        ],
    )
    async def test_garbage_is_a_broken_protocol(self, data):
        error = await rejected(saying(data))
        assert isinstance(error.__cause__, everwire.ProtocolError)

    async def test_a_server_that_hangs_up_did_not_answer(self):
        async def behavior(client, head):
            client.write(b"HTTP/1.1 101")

        error = await rejected(RawServer(behavior))
        assert (error.response, type(error.__cause__)) == (None, EOFError)

    @pytest.mark.parametrize(
        "drop",
        [b"y" * 1000, b"X: y\r\n" * 100],
        ids=["an endless field", "endless fields"],
    )
    async def test_an_endless_head_is_cut_short(self, drop):
        async def behavior(client, head):
            client.write(b"HTTP/1.1 101 Switching Protocols\r\nX: ")
            while True:
                client.write(drop)
                await client.writer.drain()
                await asyncio.sleep(0)

        before = _core.memory_held()
        error = await rejected(RawServer(behavior))
        assert isinstance(error.__cause__, everwire.ProtocolError)
        assert _core.memory_held() <= before

    async def test_a_dripping_head_has_its_time(self):
        async def behavior(client, head):
            client.write(b"HTTP/1.1 101 Switching Protocols\r\nX: ")
            while True:
                client.write(b"y")
                await asyncio.sleep(10 * MS)

        async with RawServer(behavior) as server:
            began = time.monotonic()
            with pytest.raises(TimeoutError):
                await everwire.connect(server.url, open_timeout=200 * MS)
            assert 150 * MS < time.monotonic() - began < 5000 * MS


class TestRFC9110Section15:
    """Other statuses than 101."""

    async def test_interim_answers_are_passed_over(self):
        async def behavior(client, head):
            for interim in (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"):
                client.write(interim)
                await asyncio.sleep(10 * MS)
            client.write(b"HTTP/1.1 102 Processing\r\n\r\n" + answer(head) + encode(TEXT, b"at last", key=None))
            await client.reader.read()

        async with RawServer(behavior) as server:
            connection = await everwire.connect(server.url, close_timeout=100 * MS)
            assert await connection.recv() == "at last"
            await connection.close()

    async def test_endless_interim_answers_have_their_time(self):
        async def behavior(client, head):
            while True:
                client.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                await client.writer.drain()
                await asyncio.sleep(5 * MS)

        async with RawServer(behavior) as server:
            with pytest.raises(TimeoutError):
                await everwire.connect(server.url, open_timeout=200 * MS)

    @pytest.mark.parametrize(
        ("fields", "hangs_up"),
        [("Content-Length: 12\r\n", False), ("", True), ("Content-Length: 100\r\n", True)],
        ids=["length", "until the end", "cut short"],
    )
    async def test_a_refusal_brings_its_body(self, fields, hangs_up):
        async def behavior(client, head):
            client.write(f"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\n{fields}\r\nwho are ".encode())
            await asyncio.sleep(10 * MS)
            client.write(b"you?")
            if not hangs_up:
                await client.reader.read()

        error = await rejected(RawServer(behavior))
        assert error.status == error.response.status_code == 401
        assert error.response.headers["www-authenticate"] == "Basic"
        assert error.response.body == b"who are you?"
        assert error.__cause__ is None

    async def test_an_endless_body_is_cut_short(self):
        async def behavior(client, head):
            client.write(b"HTTP/1.1 500 Internal Server Error\r\n\r\n")
            while True:
                client.write(bytes(10_000))
                await client.writer.drain()

        before = _core.memory_held()
        error = await rejected(RawServer(behavior))
        assert (error.status, len(error.response.body)) == (500, 65536)
        assert _core.memory_held() <= before

    @pytest.mark.parametrize("status", ["200 OK", "204 No Content", "304 Not Modified"])
    async def test_success_of_another_kind_is_none(self, status):
        error = await rejected(saying(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode()))
        assert error.status == int(status[:3])

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    async def test_redirects_are_followed(self, status):
        async def behavior(client, head):
            if head.start == "GET /new HTTP/1.1":
                client.write(answer(head) + encode(TEXT, b"here", key=None))
            else:
                client.write(f"HTTP/1.1 {status} Go\r\nLocation: /new\r\nContent-Length: 0\r\n\r\n".encode())
            await client.reader.read()

        async with RawServer(behavior) as server:
            connection = await everwire.connect(server.url, close_timeout=100 * MS)
            assert await connection.recv() == "here"
            await connection.close()

    async def test_redirects_in_a_circle_end(self):
        error = await rejected(saying(b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"))
        assert error.status == 302


class TestRFC6455Section5:
    """What a server may not send: the client fails the connection with the same codes."""

    @pytest.mark.parametrize(
        ("data", "code"),
        [
            pytest.param(encode(TEXT, b"hello"), 1002, id="masked"),
            pytest.param(encode(TEXT, b"hello")[:6], 1002, id="masked, its header alone"),
            pytest.param(encode(TEXT, b"x", key=None, rsv=1), 1002, id="reserved bit"),
            pytest.param(encode(PING, key=None, rsv=4), 1002, id="compressed ping"),
            pytest.param(encode(3, key=None), 1002, id="reserved opcode"),
            pytest.param(encode(CONTINUATION, b"x", key=None), 1002, id="continuation of nothing"),
            pytest.param(encode(BINARY, key=None, length=5, form=8), 1002, id="length not minimal"),
            pytest.param(encode(PONG, key=None, fin=False), 1002, id="fragmented pong"),
            pytest.param(encode(BINARY, key=None, length=2**40), 1009, id="huge claim"),
            pytest.param(encode(TEXT, b"\xff", key=None, length=50), 1007, id="not UTF-8"),
            pytest.param(frames.close(1005, key=None), 1002, id="close code"),
            pytest.param(encode(BINARY, b"\xff\xff\xff", key=None, rsv=4), 1007, id="no deflate"),
        ],
    )
    @pytest.mark.parametrize("pace", ["whole", "bytes"])
    async def test_a_hostile_frame(self, data, code, pace):
        async def behavior(client, head):
            client.write(answer(head, "Sec-WebSocket-Extensions: permessage-deflate"))
            for piece in [data] if pace == "whole" else [bytes([byte]) for byte in data]:
                client.write(piece)
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            frame = await client.frame()
            assert (frame.opcode, frame.code, frame.masked) == (CLOSE, code, True)

        async with RawServer(behavior) as server:
            connection = await everwire.connect(server.url)
            with pytest.raises(everwire.ConnectionClosedError) as raised:
                await connection.recv()
            assert raised.value.sent.code == code
            kind = everwire.LimitExceeded if code == 1009 else everwire.ProtocolError
            assert isinstance(raised.value.__cause__, kind)

    async def test_frames_in_one_segment_with_the_answer(self):
        async def behavior(client, head):
            client.write(answer(head) + encode(TEXT, b"one", key=None) + encode(TEXT, b"two", key=None))
            client.write(frames.close(1000, key=None))
            assert (await client.frame()).code == 1000

        async with RawServer(behavior) as server, everwire.connect(server.url) as connection:
            assert [message async for message in connection] == ["one", "two"]

    async def test_every_frame_of_ours_has_a_fresh_mask(self):
        keys = []

        async def behavior(client, head):
            client.write(answer(head))
            data = bytearray()
            while len(data) < 100 * (2 + 4 + 5):
                data += await client.reader.read(4096)
            for at in range(0, len(data), 11):
                assert data[at : at + 2] == b"\x81\x85"
                keys.append(bytes(data[at + 2 : at + 6]))

        async with RawServer(behavior) as server:
            connection = await everwire.connect(server.url)
            for _ in range(100):
                await connection.send("hello")
            await connection.wait_closed()
        assert len(set(keys)) > 95
