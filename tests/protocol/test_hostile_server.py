"""More of what a hostile server may say in answer to a handshake: one at a time, and byte by byte."""

from __future__ import annotations

import asyncio
import time

import pytest
from peer.frames import CLOSE, TEXT, encode
from peer.server import RawServer, acceptance, answer
from peer.timing import MS, eventually

import everwire
from everwire import _core
from everwire.engine.shards import shard_of

HELLO = encode(TEXT, b"hello", key=None)


def saying(make, pace="whole"):
    """A server that answers what ``make`` makes of the request."""

    async def behavior(client, head):
        data = make(head)
        for piece in [data] if pace == "whole" else [bytes([byte]) for byte in data]:
            client.write(piece)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        await client.reader.read()

    return RawServer(behavior)


def with_accept(make):
    """A good answer whose ``Sec-WebSocket-Accept`` lines are others."""
    return lambda head: answer(head, *make(acceptance(head)), without=("Sec-WebSocket-Accept",))


def with_fields(*fields):
    """A good answer with further fields."""
    return lambda head: answer(head, *fields)


DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"
BROKEN = {
    "accept in lower case": with_accept(lambda accept: [f"Sec-WebSocket-Accept: {accept.lower()}"]),
    "accept cut short": with_accept(lambda accept: [f"Sec-WebSocket-Accept: {accept[:-1]}"]),
    "accept with more behind it": with_accept(lambda accept: [f"Sec-WebSocket-Accept: {accept}, {accept}"]),
    "accept twice": with_accept(lambda accept: [f"Sec-WebSocket-Accept: {accept}"] * 2),
    "accept empty": with_accept(lambda accept: ["Sec-WebSocket-Accept:"]),
    "the key itself": lambda head: answer(
        head, f"Sec-WebSocket-Accept: {head['sec-websocket-key']}", without=("Sec-WebSocket-Accept",)
    ),
    "a parameter with a value too much": with_fields(f"{DEFLATE}; server_no_context_takeover=1"),
    "a parameter twice": with_fields(f"{DEFLATE}; server_no_context_takeover; server_no_context_takeover"),
    "a window without a size": with_fields(f"{DEFLATE}; server_max_window_bits"),
    "a window that is no number": with_fields(f"{DEFLATE}; server_max_window_bits=ten"),
    "a window with a leading zero": with_fields(f"{DEFLATE}; server_max_window_bits=010"),
    "two extensions in two fields": with_fields(DEFLATE, DEFLATE),
    "an extension that is no token": with_fields("Sec-WebSocket-Extensions: permessage deflate"),
    "a subprotocol though none was offered": with_fields("Sec-WebSocket-Protocol: chat"),
    "a folded field": with_fields("X: a\r\n b"),
    "a control byte": with_fields("X: a\x00b"),
    "a field without a name": with_fields(": x"),
    "a field without a colon": with_fields("nothing"),
    "too many fields": with_fields(*[f"X-{number}: y" for number in range(200)]),
    "lines that end with LF": lambda head: answer(head).replace(b"\r\n", b"\n"),
    "an empty line first": lambda head: b"\r\n" + answer(head),
    "a status of four digits": lambda head: answer(head, line="HTTP/1.1 1010 Switching Protocols"),
    "a version that does not exist": lambda head: answer(head, line="HTTP/3.0 101 Switching Protocols"),
    "HTTP/2": lambda head: b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + bytes(18),
    "a TLS alert": lambda head: b"\x15\x03\x03\x00\x02\x02\x28",
}


@pytest.mark.parametrize("pace", ["whole", "bytes"])
@pytest.mark.parametrize("name", BROKEN)
async def test_a_broken_answer_is_a_broken_protocol(name, pace):
    async with saying(lambda head: BROKEN[name](head) + HELLO, pace) as server:
        with pytest.raises(everwire.HandshakeFailed) as raised:
            await everwire.connect(server.url)
        assert isinstance(raised.value.__cause__, everwire.ProtocolError)
        shard = shard_of(asyncio.get_running_loop())
        await eventually(lambda: shard.connections == 0)


@pytest.mark.parametrize(
    "field", ["Content-Length: 5", "Transfer-Encoding: chunked", "Content-Length: 99999999999999999999"]
)
async def test_101_has_no_body_whatever_it_says(field):
    # RFC 9112 §6.3: the head is the end of it; what follows are frames.
    async with saying(lambda head: answer(head, field) + HELLO) as server:
        async with everwire.connect(server.url, close_timeout=50 * MS) as connection:
            assert await connection.recv() == "hello"


async def test_a_body_of_101_is_no_frame():
    async def behavior(client, head):
        client.write(answer(head, "Content-Length: 5") + b"<html")
        frame = await client.frame()
        assert (frame.opcode, frame.code) == (CLOSE, 1002)

    async with RawServer(behavior) as server:
        connection = await everwire.connect(server.url)
        with pytest.raises(everwire.ConnectionClosedError):
            await connection.recv()
        assert connection.close_code == 1006


@pytest.mark.parametrize("length", ["10000000", "999999999999999999", "99999999999999999999999999", "-1", "abc"])
async def test_a_huge_claim_about_a_body_reserves_nothing(length):
    before = _core.memory_held()

    async def behavior(client, head):
        client.write(f"HTTP/1.1 403 Forbidden\r\nContent-Length: {length}\r\n\r\nno".encode())

    async with RawServer(behavior) as server:
        with pytest.raises(everwire.HandshakeFailed) as raised:
            await everwire.connect(server.url)
    assert raised.value.status == 403
    assert raised.value.response.body in (b"no", b"")
    assert _core.memory_held() <= before


async def test_a_refusal_that_never_ends_is_told_after_two_seconds():
    async def behavior(client, head):
        client.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 1000000\r\n\r\n")
        while True:
            client.write(b"n")
            await asyncio.sleep(10 * MS)

    async with RawServer(behavior) as server:
        began = time.monotonic()
        with pytest.raises(everwire.HandshakeFailed) as raised:
            await everwire.connect(server.url, open_timeout=None)
        assert time.monotonic() - began < 5000 * MS
        assert raised.value.status == 403
        assert set(raised.value.response.body) == set(b"n")


@pytest.mark.parametrize("opcode", [0x1, 0x2])
@pytest.mark.parametrize("length", [2**20 + 1, 2**32, 2**62, 2**63 - 1])
async def test_a_huge_claim_about_a_message_reserves_nothing(opcode, length):
    async def behavior(client, head):
        client.write(answer(head) + encode(opcode, b"x", key=None, length=length))
        frame = await client.frame()
        assert (frame.opcode, frame.code) == (CLOSE, 1009)

    before = _core.memory_held()
    async with RawServer(behavior) as server:
        connection = await everwire.connect(server.url)
        with pytest.raises(everwire.ConnectionClosedError):
            await connection.recv()
        assert connection._exception().sent.code == 1009
        assert _core.memory_held() <= before + 2**20


async def test_a_server_that_accepts_and_never_answers_has_the_open_timeout():
    async def behavior(client, head):
        await client.reader.read()

    async with RawServer(behavior) as server:
        with pytest.raises(TimeoutError, match="timed out during opening handshake"):
            await everwire.connect(server.url, open_timeout=100 * MS)
        shard = shard_of(asyncio.get_running_loop())
        await eventually(lambda: shard.connections == 0)
