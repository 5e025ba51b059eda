"""The body of an answer that refused us, by every way that HTTP/1.1 has to say where it ends."""

from __future__ import annotations

import asyncio

import pytest
from peer.certificates import server_context
from peer.server import RawServer
from peer.timing import MS

import everwire

TEXT = b"no room for you: " + b"x" * 20_000

CHUNKED = b"%x;part=1\r\n%s\r\n%X\r\n%s\r\n0\r\nDigest: none\r\n\r\n" % (17, TEXT[:17], len(TEXT) - 17, TEXT[17:])


async def refused(wire, *pieces, hangs_up=False):
    """What comes of an answer with 403 that these pieces follow."""

    async def behavior(client, head):
        client.write(b"HTTP/1.1 403 Forbidden\r\n")
        for piece in pieces:
            client.write(piece)
            await asyncio.sleep(0)
        if not hangs_up:
            await client.reader.read()
        elif client.writer.can_write_eof():
            client.writer.write_eof()
            await client.reader.read()
        else:
            client.writer.close()
            await client.writer.wait_closed()

    context = None if wire.tls == "plain" else server_context(wire.folder)
    async with RawServer(behavior, tls=context) as server:
        with pytest.raises(everwire.HandshakeFailed) as raised:
            await asyncio.wait_for(everwire.connect(server.url, ssl=wire._for_client()), 5000 * MS)
    assert raised.value.status == 403
    return raised.value.response


@pytest.mark.parametrize("size", [1, 7, 100_000], ids=["bytes", "pieces", "whole"])
async def test_a_chunked_body_is_joined(wire, size):
    data = b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKED
    pieces = (
        [data[at : at + size] for at in range(0, len(data), size)]
        if size > 1
        else [data[:40], *_bytes(data[40:90]), data[90:]]
    )
    response = await refused(wire, *pieces)
    assert response.body == TEXT
    assert response.headers["Transfer-Encoding"] == "chunked"


@pytest.mark.parametrize(
    ("coded", "body"),
    [
        (b"3\r\nabc\r\nwhat is this\r\n", b"abc"),
        (b"<html>not chunked at all</html>", b""),
        (b"3\r\nabc", b"abc"),
        (b"ffffffffffffffff\r\nabc", b"abc"),
        (b"3" + b";x" * 20_000 + b"\r\nabc\r\n0\r\n\r\n", b""),
        (b"3\r\nabc\r\n0\r\n" + b"X: y\r\n" * 10_000 + b"\r\n", b"abc"),
    ],
    ids=["then garbage", "none", "cut off", "a claim", "an endless extension", "endless trailers"],
)
async def test_what_cannot_be_decoded_ends_the_body_with_what_came(wire, coded, body):
    response = await refused(wire, b"Transfer-Encoding: chunked\r\n\r\n" + coded, hangs_up=True)
    assert response.body == body


async def test_an_endless_chunked_body_is_cut_short(wire):
    chunk = b"2000\r\n" + bytes(0x2000) + b"\r\n"
    response = await refused(wire, b"Transfer-Encoding: chunked\r\n\r\n", *[chunk] * 20)
    assert response.body == bytes(65536)


async def test_another_coding_ends_with_the_connection(wire):
    response = await refused(wire, b"Transfer-Encoding: gzip\r\n\r\n", b"not ", b"for us", hangs_up=True)
    assert response.body == b"not for us"


async def test_length_and_end_are_as_before(wire):
    assert (await refused(wire, b"Content-Length: 3\r\n\r\nabcdef")).body == b"abc"
    assert (await refused(wire, b"\r\nabc", b"def", hangs_up=True)).body == b"abcdef"
    assert (await refused(wire, b"Content-Length: 0\r\n\r\n")).body == b""


def _bytes(data):
    return [data[at : at + 1] for at in range(len(data))]
