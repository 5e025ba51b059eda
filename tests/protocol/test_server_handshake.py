"""Hostile opening handshakes, said byte for byte to a real server: what each is answered, and that it is hung up on."""

from __future__ import annotations

import asyncio
import time

import pytest
from peer import frames
from peer.client import RawClient, request
from peer.timing import MS

import everwire
from everwire import _core


async def refusal(address, say, data, **options):
    """Say something that is refused; the head of the answer, after which the server has hung up."""
    async with await RawClient.connect(address) as client:
        await say(client, data)
        head = await client.head()
        body = await client.body()
    length = int(head["content-length"])
    assert len(body) == (0 if data.startswith(b"HEAD ") else length)
    assert length > 0
    assert "close" in head["connection"]
    assert "sec-websocket-accept" not in head
    return head


async def whole(client, data):
    """Say it in one piece: for what is too long to be said byte by byte."""
    client.write(data)


class TestRFC9112Section2_2:
    """The head's lines."""

    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(request().replace(b"\r\n", b"\n"), id="bare LF everywhere"),
            pytest.param(request().replace(b"localhost\r\n", b"localhost\n"), id="bare LF after a field"),
            pytest.param(request("/", "X: a\rb"), id="bare CR"),
            pytest.param(request("/", "X: a\0b"), id="NUL"),
            pytest.param(request("/", "X: a\x1bb"), id="escape"),
            pytest.param(b"\r\n" + request(), id="empty line first"),
            pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", id="TLS"),
            pytest.param(b"PING\r\n\r\n", id="another protocol"),
        ],
    )
    async def test_what_is_no_line_is_refused(self, serving, say, data):
        async with serving() as address:
            assert (await refusal(address, say, data)).status == 400


class TestRFC9112Section3:
    """The request line."""

    @pytest.mark.parametrize(
        ("line", "status"),
        [
            ("GET / HTTP/1.0", 505),
            ("GET / HTTP/2.0", 505),
            ("GET / HTTP/1.2", 101),
            ("GET / HTTP/1", 400),
            ("GET / http/1.1", 400),
            ("GET /", 400),
            ("GET  / HTTP/1.1", 400),
            ("GET / HTTP/1.1 ", 400),
            (" GET / HTTP/1.1", 400),
            ("G(T / HTTP/1.1", 400),
            ("GET nowhere HTTP/1.1", 400),
            ("CONNECT localhost:80 HTTP/1.1", 400),
            ("GET http://localhost/chat HTTP/1.1", 101),
        ],
    )
    async def test_version_and_form(self, serving, say, line, status):
        async with serving() as address:
            data = request(line=line)
            if status != 101:
                assert (await refusal(address, say, data)).status == status
                return
            async with await RawClient.connect(address) as client:
                await say(client, data)
                assert (await client.head()).status == 101

    @pytest.mark.parametrize("method", ["POST", "HEAD", "PUT", "OPTIONS", "get"])
    async def test_other_methods_are_told_what_is_allowed(self, serving, say, method):
        async with serving() as address:
            head = await refusal(address, say, request(line=f"{method} / HTTP/1.1"))
            assert (head.status, head["allow"]) == (405, "GET")

    async def test_a_request_line_of_8_kib_passes_and_a_longer_one_is_414(self, serving):
        async with serving() as address:
            longest = "/" + "a" * (8192 - len("GET / HTTP/1.1"))
            async with await RawClient.open(address, target=longest):
                pass
            assert (await refusal(address, whole, request(longest + "a"))).status == 414


class TestRFC9112Section3_2:
    """Host."""

    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(request(without=("Host",)), id="none"),
            pytest.param(request("/", "Host: localhost"), id="two alike"),
            pytest.param(request("/", "Host: elsewhere"), id="two"),
            *(
                pytest.param(request(host=host), id=repr(host))
                for host in ("", "local host", "a/b", "user@localhost", "localhost:x", "localhost:65536", "[::1")
            ),
        ],
    )
    async def test_exactly_one_that_is_valid(self, serving, say, data):
        async with serving() as address:
            assert (await refusal(address, say, data)).status == 400

    @pytest.mark.parametrize("host", ["example.com", "localhost:8080", "127.0.0.1", "[::1]:80"])
    async def test_valid_ones_pass(self, serving, say, host):
        async with serving() as address, await RawClient.connect(address) as client:
            await say(client, request(host=host))
            assert (await client.head()).status == 101


class TestRFC9112Section5:
    """Fields."""

    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(request("/", "X: a", " folded"), id="folded"),
            pytest.param(request("/", "no colon"), id="no colon"),
            pytest.param(request("/", "X : a"), id="space before the colon"),
            pytest.param(request("/", ": a"), id="no name"),
            pytest.param(request("/", "X(): a"), id="name is no token"),
            pytest.param(request("/", "X\x80: a"), id="name is not ASCII"),
        ],
    )
    async def test_what_is_no_field_is_refused(self, serving, say, data):
        async with serving() as address:
            assert (await refusal(address, say, data)).status == 400


class TestRFC6585Section5:
    """431: heads that are too large."""

    async def test_a_hundred_fields_pass_and_one_more_is_431(self, serving):
        async with serving() as address:
            most = [f"X-{number}: y" for number in range(95)]
            async with await RawClient.open(address, *most):
                pass
            assert (await refusal(address, whole, request("/", *most, "X: y"))).status == 431

    async def test_a_field_of_8_kib_passes_and_a_longer_one_is_431(self, serving):
        async with serving() as address:
            longest = "X: " + "y" * (8192 - 3)
            async with await RawClient.open(address, longest):
                pass
            assert (await refusal(address, whole, request("/", longest + "y"))).status == 431

    async def test_a_head_of_16_kib_passes_and_a_longer_one_is_431(self, serving):
        async with serving() as address:
            long = "X: " + "y" * 7000
            rest = "Y: " + "y" * (16384 - len(request("/", long, long, "Y: ")))
            async with await RawClient.open(address, long, long, rest):
                pass
            assert (await refusal(address, whole, request("/", long, long, rest + "y"))).status == 431

    async def test_an_endless_head_is_answered_long_before_it_ends(self, serving):
        async with serving() as address, await RawClient.connect(address) as client:
            before = _core.memory_held()
            client.write(b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 99 + b"Y: " + b"y" * 20_000)
            assert (await client.head()).status == 431
            assert _core.memory_held() - before < 32 * 1024


class TestRFC9112Section6:
    """Bodies: a handshake has none."""

    @pytest.mark.parametrize("field", ["Content-Length: 5", "Content-Length: 0, 5", "Transfer-Encoding: chunked"])
    async def test_a_body_is_refused(self, serving, say, field):
        async with serving() as address:
            assert (await refusal(address, say, request("/", field) + b"hello")).status == 400

    async def test_an_empty_body_passes(self, serving, say):
        async with serving() as address, await RawClient.connect(address) as client:
            await say(client, request("/", "Content-Length: 0"))
            assert (await client.head()).status == 101


class TestRFC6455Section4_2_1:
    """What a client's handshake must have."""

    @pytest.mark.parametrize(
        ("fields", "without"),
        [
            ((), ("Upgrade",)),
            ((), ("Connection",)),
            (("Upgrade: h2c",), ("Upgrade",)),
            (("Upgrade: websockets",), ("Upgrade",)),
            (("Connection: keep-alive",), ("Connection",)),
            (("Connection: Upgraded",), ("Connection",)),
        ],
    )
    async def test_without_upgrade_426(self, serving, say, fields, without):
        async with serving() as address:
            head = await refusal(address, say, request("/", *fields, without=without))
            assert (head.status, head["upgrade"], head["connection"]) == (426, "websocket", "close, Upgrade")

    @pytest.mark.parametrize(
        ("fields", "without"),
        [
            (("Connection: keep-alive, Upgrade",), ("Connection",)),
            (("Connection: keep-alive", "Connection: upgrade"), ("Connection",)),
            (("Connection: ,UPGRADE ,",), ("Connection",)),
            (("Upgrade: h2c, WebSocket",), ("Upgrade",)),
            (("Upgrade: h2c", "Upgrade: websocket"), ("Upgrade",)),
        ],
    )
    async def test_fields_are_lists_of_tokens(self, serving, say, fields, without):
        async with serving() as address, await RawClient.connect(address) as client:
            await say(client, request("/", *fields, without=without))
            assert (await client.head()).status == 101

    @pytest.mark.parametrize("version", ["8", "0", "14", "13, 8", "x", "013", ""])
    async def test_other_versions_are_told_the_right_one(self, serving, say, version):
        async with serving() as address:
            data = request("/", f"Sec-WebSocket-Version: {version}", without=("Sec-WebSocket-Version",))
            head = await refusal(address, say, data)
            assert (head.status, head["sec-websocket-version"]) == (426, "13")

    async def test_without_a_version_426(self, serving, say):
        async with serving() as address:
            head = await refusal(address, say, request(without=("Sec-WebSocket-Version",)))
            assert (head.status, head["sec-websocket-version"]) == (426, "13")

    @pytest.mark.parametrize(
        "keys",
        [
            (),
            ("",),
            ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("dGhlIHNhbXBsZSBub25jZQ",),
            ("dGhlIHNhbXBsZSBub25j",),
            ("dGhlIHNhbXBsZSBub25jZTE3Ynl0ZXM=",),
            ("dGhlIHNhbXBsZSBub25jZ!==",),
        ],
        ids=["none", "empty", "two", "no padding", "15 bytes", "longer", "not base64"],
    )
    async def test_exactly_one_key_of_16_bytes(self, serving, say, keys):
        async with serving() as address:
            fields = [f"Sec-WebSocket-Key: {key}" for key in keys]
            assert (await refusal(address, say, request("/", *fields, without=("Sec-WebSocket-Key",)))).status == 400

    async def test_a_key_typed_by_hand_passes(self, serving, say):
        async with serving() as address, await RawClient.connect(address) as client:
            await say(
                client, request("/", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR==", without=("Sec-WebSocket-Key",))
            )
            assert (await client.head()).status == 101


class TestRFC6455Section4_2_2:
    """What the server answers."""

    async def test_all_that_is_needed_and_nothing_twice(self, serving, say):
        async with serving(subprotocols=["chat"]) as address, await RawClient.connect(address) as client:
            await say(
                client, request("/", "Sec-WebSocket-Protocol: superchat, chat", "Sec-WebSocket-Extensions: x-unknown")
            )
            head = await client.head()
        assert head.start == "HTTP/1.1 101 Switching Protocols"
        assert head["upgrade"] == "websocket"
        assert head["connection"] == "Upgrade"
        assert head["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        assert head["sec-websocket-protocol"] == "chat"
        assert "sec-websocket-extensions" not in head
        assert "content-length" not in head

    async def test_bytes_behind_the_head_are_the_first_frames(self, serving, say):
        async with serving() as address, await RawClient.connect(address) as client:
            await say(client, request() + frames.encode(frames.TEXT, b"early") + frames.encode(frames.PING, b"bird"))
            assert (await client.head()).status == 101
            came = [await client.frame(), await client.frame()]
        assert {(frame.opcode, frame.payload) for frame in came} == {(frames.TEXT, b"early"), (frames.PONG, b"bird")}

    async def test_they_wait_while_a_hook_decides(self, serving, say):
        decided = asyncio.Event()

        async def process_request(connection, request):
            await decided.wait()

        async with serving(process_request=process_request) as address, await RawClient.connect(address) as client:
            await say(client, request() + frames.encode(frames.TEXT, b"early"))
            await say(client, frames.encode(frames.TEXT, b"later"))
            decided.set()
            assert (await client.head()).status == 101
            assert [(await client.frame()).payload, (await client.frame()).payload] == [b"early", b"later"]

    async def test_bytes_behind_a_refused_head_do_not_cut_its_answer_off(self, serving):
        async with serving() as address:
            flood = frames.encode(frames.BINARY, bytes(200_000))
            assert (await refusal(address, whole, request(without=("Host",)) + flood)).status == 400

    @pytest.mark.parametrize("origin", ["https://evil.example", "null"])
    async def test_an_unwelcome_origin_is_403(self, serving, say, origin):
        async with serving() as address:
            assert (await refusal(address, say, request("/", f"Origin: {origin}"))).status == 403


class TestRFC7692Section5:
    """Negotiation of permessage-deflate."""

    @pytest.mark.parametrize(
        "offer",
        [
            "permessage-deflate; server_max_window_bits=8",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=0",
            "permessage-deflate; server_max_window_bits=1000000000",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; client_max_window_bits=7",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            "permessage-deflate; unknown",
            "x-webkit-deflate-frame",
        ],
    )
    async def test_what_cannot_be_honored_is_declined(self, serving, say, offer):
        async with serving() as address, await RawClient.connect(address) as client:
            await say(client, request("/", f"Sec-WebSocket-Extensions: {offer}"))
            head = await client.head()
            assert (head.status, head.all("sec-websocket-extensions")) == (101, [])

    async def test_the_first_offer_that_can_be_honored_is_taken(self, serving, say):
        async with serving() as address, await RawClient.connect(address) as client:
            offer = "permessage-deflate; server_max_window_bits=8, permessage-deflate; server_max_window_bits=10"
            await say(client, request("/", f"Sec-WebSocket-Extensions: {offer}"))
            agreed = {part.strip() for part in (await client.head())["sec-websocket-extensions"].split(";")}
        assert agreed >= {"permessage-deflate", "server_max_window_bits=10"}

    @pytest.mark.parametrize("offer", ["permessage-deflate;", "=", 'permessage-deflate; a="', "per message"])
    async def test_what_is_no_list_of_extensions_is_refused(self, serving, say, offer):
        async with serving() as address:
            assert (await refusal(address, say, request("/", f"Sec-WebSocket-Extensions: {offer}"))).status == 400


class TestDeadline:
    """A handshake has its time, whatever the client does meanwhile."""

    @pytest.mark.parametrize("drips", [True, False], ids=["dripping", "silent"])
    async def test_a_slow_head_is_408(self, serving, drips):
        async with serving(open_timeout=300 * MS) as address, await RawClient.connect(address) as client:
            began = time.monotonic()
            client.write(b"GET / HTTP/1.1\r\nX: ")

            async def drip():
                while drips:
                    client.write(b"y")
                    await asyncio.sleep(10 * MS)

            dripping = asyncio.ensure_future(drip())
            head = await client.head()
            assert head.status == 408
            assert await client.text(head) == f"the opening handshake took longer than open_timeout ({300 * MS:g} s)\n"
            assert 250 * MS < time.monotonic() - began < 5000 * MS
            dripping.cancel()
            await client.body()

    async def test_a_hook_that_takes_too_long_is_408(self, serving):
        async def process_request(connection, request):
            await asyncio.sleep(500 * MS)

        options = {"open_timeout": 100 * MS, "process_request": process_request}
        async with serving(**options) as address, await RawClient.connect(address) as client:
            client.write(request())
            assert (await client.head()).status == 408

    async def test_a_refused_client_that_does_not_hang_up_is_dropped(self, serving):
        async with serving(close_timeout=100 * MS) as address, await RawClient.connect(address) as client:
            client.write(request(without=("Host",)))
            assert (await client.head()).status == 400
            await client.body()
            with pytest.raises(ConnectionError):
                while True:
                    client.write(b"and another thing")
                    await client.writer.drain()
                    await asyncio.sleep(10 * MS)


async def test_a_server_survives_all_of_it(serving):
    async with serving() as address:
        for data in (b"\0" * 1000, b"\xff" * 20_000, b"GET / HTTP/1.1\r\n", request(host="@")):
            async with await RawClient.connect(address) as client:
                client.write(data)
                client.writer.write_eof()
                await client.body()
        async with everwire.connect("ws://{}:{}/".format(*address)) as connection:
            await connection.send("still here")
            assert await connection.recv() == "still here"
