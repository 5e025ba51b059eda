"""Hostile proxies, byte for byte: what they may not answer to ``CONNECT``, and what SOCKS proxies may not say."""

from __future__ import annotations

import asyncio
import os
import time

import pytest
from peer.frames import TEXT, encode
from peer.server import RawServer, answer
from peer.timing import MS, eventually

import everwire
from everwire.client.tunnel import BODY, HEAD
from everwire.client.verdicts import process_exception

ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


def saying(data, *, then_hang_up=False):
    """A proxy that answers so, and waits for the client to leave."""

    async def behavior(client, head):
        client.write(data)
        if not then_hang_up:
            await client.reader.read()

    return RawServer(behavior)


async def rejected(proxy, **options):
    """Why there is no way through a proxy."""
    async with proxy:
        url = "http://{}:{}".format(*proxy.address)
        with pytest.raises(everwire.HandshakeFailed) as raised:
            await everwire.connect("ws://server.test/", proxy=url, **options)
    assert raised.value.proxy == url
    return raised.value


async def tunnel(client, head):
    """Be the server, too."""
    request = await client.head()
    assert request["host"] == "server.test"
    client.write(answer(request) + encode(TEXT, b"hello", key=None))
    await client.reader.read()


class TestRFC9110Section9_3_6:
    """CONNECT."""

    async def test_the_target_has_a_port_always_and_the_request_no_body(self):
        heads = []

        async def behavior(client, head):
            heads.append(head)
            client.write(ESTABLISHED)
            await tunnel(client, head)

        async with RawServer(behavior) as proxy:
            url = "http://{}:{}".format(*proxy.address)
            async with everwire.connect("ws://server.test/", proxy=url, close_timeout=100 * MS) as connection:
                assert await connection.recv() == "hello"
        (head,) = heads
        assert (head.start, head["host"]) == ("CONNECT server.test:80 HTTP/1.1", "server.test:80")
        assert "content-length" not in head
        assert "transfer-encoding" not in head

    @pytest.mark.parametrize(
        "head",
        [
            b"HTTP/1.0 200 OK\r\n\r\n",
            b"HTTP/1.1 200\r\n\r\n",
            b"HTTP/1.1 201 Created\r\nX-Empty:\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        ],
    )
    @pytest.mark.parametrize("pace", ["whole", "bytes"])
    async def test_any_2xx_opens_the_tunnel_and_has_no_body(self, head, pace):
        async def behavior(client, _):
            for piece in [head] if pace == "whole" else [bytes([byte]) for byte in head]:
                client.write(piece)
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            await tunnel(client, _)

        async with RawServer(behavior) as proxy:
            url = "http://{}:{}".format(*proxy.address)
            async with everwire.connect("ws://server.test/", proxy=url, close_timeout=100 * MS) as connection:
                assert await connection.recv() == "hello"

    async def test_data_before_we_asked_the_server_is_not_the_servers(self):
        error = await rejected(saying(ESTABLISHED + b"HTTP/1.1 101 Switching Protocols\r\n\r\n"))
        assert "sent data before it was asked for any" in str(error)

    @pytest.mark.parametrize("status", [101, 300, 302, 400, 403, 404, 407, 500, 502, 503, 504])
    async def test_other_statuses_are_refusals(self, status):
        error = await rejected(saying(b"HTTP/1.1 %d Because\r\nContent-Length: 3\r\n\r\nno!" % status))
        body = b"" if status == 101 else b"no!"  # RFC 9112 §6.3: no answer with 1xx has one
        assert (error.status, error.response.reason_phrase, error.response.body) == (status, "Because", body)
        assert f"answered {status} Because" in str(error)

    @pytest.mark.parametrize(
        ("data", "body"),
        [
            (b"Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nwho\r\n6\r\n goes?\r\n0\r\nX: y\r\n\r\n", b"who goes?"),
            (b"Transfer-Encoding: chunked\r\n\r\n3\r\nwho\r\nnonsense", b"who"),
            (b"Content-Length: 3\r\n\r\nwho goes?", b"who"),
        ],
    )
    @pytest.mark.parametrize("pace", ["whole", "bytes"])
    async def test_the_body_of_a_refusal_ends_where_it_says(self, data, body, pace):
        data = b"HTTP/1.1 403 Forbidden\r\n" + data

        async def behavior(client, head):
            for piece in [data] if pace == "whole" else [bytes([byte]) for byte in data]:
                client.write(piece)
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            await client.reader.read()

        error = await rejected(RawServer(behavior))
        assert (error.status, error.response.body) == (403, body)

    async def test_a_redirect_by_a_proxy_is_not_followed(self):
        asked = []

        async def behavior(client, head):
            asked.append(head)
            client.write(b"HTTP/1.1 302 Found\r\nLocation: ws://evil.test/\r\nContent-Length: 0\r\n\r\n")
            await client.reader.read()

        assert (await rejected(RawServer(behavior))).status == 302
        assert len(asked) == 1


class TestRFC9110Section11_7:
    """Proxy authentication."""

    async def refused(self, challenge, user=""):
        data = f"HTTP/1.1 407 Proxy Authentication Required\r\n{challenge}Content-Length: 0\r\n\r\n".encode()
        async with saying(data) as proxy:
            with pytest.raises(everwire.HandshakeFailed) as raised:
                await everwire.connect("ws://server.test/", proxy="http://{}{}:{}".format(user, *proxy.address))
        assert "s3cret" not in str(raised.value)
        return str(raised.value)

    async def test_without_a_user_the_error_says_where_to_put_one(self):
        assert "http://user:password@host" in await self.refused("Proxy-Authenticate: Basic realm=x\r\n")

    async def test_with_one_it_says_that_it_is_wrong(self):
        assert "does not know this user" in await self.refused("Proxy-Authenticate: Basic\r\n", "me:s3cret@")

    async def test_a_scheme_that_is_not_offered_is_named(self):
        assert "wants Digest, NTLM" in await self.refused(
            "Proxy-Authenticate: Digest x\r\nProxy-Authenticate: NTLM\r\n"
        )


class TestRFC9112:
    """What is no answer at all."""

    @pytest.mark.parametrize(
        "data",
        [
            b"\x00garbage\r\n\r\n",
            b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
            b"\x05\xff\r\n\r\n",
            b"HTTP/2 200\r\n\r\n",
            b"HTTP/1.1 2oo OK\r\n\r\n",
            b"HTTP/1.1 099 OK\r\n\r\n",
            b"HTTP/1.1 2000 OK\r\n\r\n",
            b"HTTP/1.1 999 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX : y\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n folded\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX: a\x00b\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX: a\nb: c\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n: y\r\n\r\n",
            b"HTTP/1.1 200 O\rK\r\n\r\n",
            b"\r\n\r\n",
        ],
    )
    async def test_garbage(self, data):
        error = await rejected(saying(data))
        assert "did not answer in HTTP" in str(error)
        assert error.response is None

    @pytest.mark.parametrize("data", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"])
    async def test_hanging_up_before_an_answer_may_be_tried_again(self, data):
        error = await rejected(saying(data, then_hang_up=True))
        assert "hung up" in str(error)
        assert isinstance(error.__cause__, EOFError)
        assert process_exception(error) is None

    @pytest.mark.parametrize(
        "drop",
        [b"y" * 1000, b"X: y\r\n" * 100, b"\r\n\r\nHTTP/1.1 100 Continue"],
        ids=["an endless field", "endless fields", "endless interim answers"],
    )
    async def test_an_endless_head_is_cut_short(self, drop):
        said = 0

        async def behavior(client, head):
            nonlocal said
            client.write(b"HTTP/1.1 100 Continue")
            while True:
                client.write(drop)
                said += len(drop)
                await client.writer.drain()
                await asyncio.sleep(0)

        error = await rejected(RawServer(behavior))
        assert f"a head of more than {HEAD} bytes" in str(error)

    @pytest.mark.parametrize(
        "drop",
        [b"y", b"HTTP/1.1 100 Continue\r\n\r\n", None],
        ids=["a dripping head", "dripping interim answers", "silence"],
    )
    async def test_a_proxy_that_takes_its_time_has_the_open_timeout(self, drop):
        async def behavior(client, head):
            while drop is not None:
                client.write(drop)
                await asyncio.sleep(10 * MS)
            await client.reader.read()

        async with RawServer(behavior) as proxy:
            began, before = time.monotonic(), len(os.listdir("/proc/self/fd"))
            with pytest.raises(TimeoutError, match="timed out during opening handshake"):
                await everwire.connect(
                    "ws://server.test/", proxy="http://{}:{}".format(*proxy.address), open_timeout=200 * MS
                )
            assert 150 * MS < time.monotonic() - began < 5000 * MS
            await eventually(lambda: len(os.listdir("/proc/self/fd")) <= before)

    async def test_an_endless_body_is_cut_short(self):
        async def behavior(client, head):
            client.write(b"HTTP/1.1 403 Forbidden\r\n\r\n")
            while True:
                client.write(bytes(10_000))
                await client.writer.drain()

        error = await rejected(RawServer(behavior))
        assert (error.status, len(error.response.body)) == (403, BODY)

    async def test_a_body_that_never_comes_is_not_waited_for(self, monkeypatch):
        monkeypatch.setattr("everwire.client.tunnel.BODY_TIME", 50 * MS)
        error = await rejected(saying(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 99999999999999999999\r\n\r\nfor"))
        assert (error.status, error.response.body) == (403, b"for")


class TestRFC1928:
    """SOCKS 5, whose client is a library: nothing that a proxy says may come out as anything but a failed handshake."""

    @pytest.mark.parametrize(
        "script",
        [
            pytest.param([b"HTTP/1.1 400 Bad Request\r\n\r\n"], id="no SOCKS"),
            pytest.param([b"\x04\x00"], id="another version"),
            pytest.param([b"\x05\xff"], id="no method"),
            pytest.param([b"\x05\x02"], id="a method that was not offered"),
            pytest.param([b"\x05\x77"], id="a method that does not exist"),
            pytest.param([b"\x05\x00", b"\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00"], id="refused"),
            pytest.param([b"\x05\x00", b"\x05\x99\x00\x01\x00\x00\x00\x00\x00\x00"], id="an unknown reply"),
            pytest.param([b"\x05\x00", b"\x05\x00\x01\x01\x00\x00\x00\x00\x00\x00"], id="reserved byte"),
            pytest.param([b"\x05\x00", b"\x05\x00\x00\x09\x00\x00\x00\x00\x00\x00"], id="address type"),
            pytest.param([], id="hangs up"),
            pytest.param([b"\x05\x00", b"\x05\x00"], id="hangs up within a reply"),
        ],
    )
    async def test_what_goes_wrong_is_a_failed_handshake(self, script):
        async def behave(reader, writer):
            await reader.read(3)
            for data in script:
                writer.write(data)
                await asyncio.sleep(10 * MS)
            writer.close()

        async with await asyncio.start_server(behave, "127.0.0.1", 0) as server:
            before = len(os.listdir("/proc/self/fd"))
            url = f"socks5h://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            with pytest.raises(everwire.HandshakeFailed, match="did not connect") as raised:
                await everwire.connect("ws://server.test/", proxy=url)
            assert raised.value.proxy == url
            await eventually(lambda: len(os.listdir("/proc/self/fd")) <= before)

    async def test_a_proxy_that_hangs_has_the_open_timeout(self):
        async def behave(reader, writer):
            await reader.read()
            writer.close()

        async with await asyncio.start_server(behave, "127.0.0.1", 0) as server:
            before = len(os.listdir("/proc/self/fd"))
            url = f"socks5h://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            with pytest.raises(TimeoutError, match="timed out during opening handshake"):
                await everwire.connect("ws://server.test/", proxy=url, open_timeout=100 * MS)
            await eventually(lambda: len(os.listdir("/proc/self/fd")) <= before)
