"""Requests with bodies: hooks see them, nobody reads the body, and the answer arrives whole."""

from __future__ import annotations

import asyncio

import pytest
from peer import frames
from peer.certificates import client_context
from peer.client import STAYS_AFTER_GOODBYE, RawClient, request
from peer.timing import MS, eventually


async def never(connection):
    raise AssertionError("nobody gets here")


async def say(wire, server, data):
    """Say it to a server, and hang up: the head and the body of the answer."""
    tls = None if wire.tls == "plain" else client_context()
    async with await RawClient.connect(server.sockets[0].getsockname(), tls=tls) as client:
        client.write(data)
        head = await client.head()
        body = await asyncio.wait_for(client.reader.readexactly(int(head["content-length"])), 5000 * MS)
        if tls is None or STAYS_AFTER_GOODBYE:
            # All of the body leaves: the server reads on, long before it gives up on who does not hang up.
            await asyncio.wait_for(client.writer.drain(), 1000 * MS)
    await eventually(lambda: server._shard.connections == 0)
    return head, body


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("field", ["Content-Length: 5", "Transfer-Encoding: chunked"])
async def test_process_request_is_asked_about_a_request_with_a_body(wire, method, field):
    seen = []

    def process_request(connection, request):
        seen.append((request.method, request.path))
        return connection.respond(200, "thanks\n")

    async with wire.serve(never, process_request=process_request) as server:
        head, body = await say(wire, server, request("/", field, line=f"{method} /hook HTTP/1.1") + b"hello")
    assert (head.status, head["connection"], body) == (200, "close", b"thanks\n")
    assert seen == [(method, "/hook")]


@pytest.mark.parametrize("is_prompt", [True, False], ids=["at once", "later"])
async def test_a_large_body_that_nobody_reads_does_not_cut_the_answer_off(wire, is_prompt):
    if wire.tls != "plain" and not STAYS_AFTER_GOODBYE:
        pytest.skip("this Python's TLS client throws away what it has not handed out when it hangs up by itself")

    async def process_request(connection, request):
        if not is_prompt:
            await asyncio.sleep(30 * MS)
        return connection.respond(200, "x" * 300_000)

    async with wire.serve(never, process_request=process_request) as server:
        data = request("/", "Content-Length: 3000000", line="POST / HTTP/1.1") + bytes(3_000_000)
        head, body = await say(wire, server, data)
    assert (head.status, len(body)) == (200, 300_000)


@pytest.mark.parametrize(("method", "status"), [("GET", 400), ("POST", 405)])
@pytest.mark.parametrize("field", ["Content-Length: 5", "Transfer-Encoding: chunked"])
async def test_a_request_with_a_body_opens_no_connection_whatever_hooks_say(wire, method, status, field):
    def process_response(connection, request, response):
        response.status_code = 101

    body = frames.encode(frames.TEXT, b"")
    for options in ({"process_request": lambda *_: None}, {"process_response": process_response}, {}):
        async with wire.serve(never, **options) as server:
            head, text = await say(wire, server, request("/", field, line=f"{method} / HTTP/1.1") + body)
            assert head.status == status, options
            assert (b"has no body" if method == "GET" else b"only GET") in text
            assert server.connections == set()


async def test_what_follows_an_answer_is_not_taken_for_another_request(wire):
    asked = []

    def process_request(connection, request):
        asked.append(request.path)
        return connection.respond(200, "one\n")

    async with wire.serve(never, process_request=process_request) as server:
        smuggled = request("/second")
        data = request("/", f"Content-Length: {len(smuggled)}", line="POST /first HTTP/1.1") + smuggled
        head, body = await say(wire, server, data + request("/third"))
    assert (head.status, body, asked) == (200, b"one\n", ["/first"])
