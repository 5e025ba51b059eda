"""Every answer of a server says when it was given (RFC 9110 §6.6.1)."""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import re
import time

import pytest
from peer.certificates import client_context
from peer.client import RawClient, request
from peer.timing import MS

from everwire import Headers, Response

FORM = re.compile(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT")
OWN = "Thu, 01 Jan 1970 00:00:00 GMT"


async def idle(connection):
    await connection.wait_closed()


@contextlib.asynccontextmanager
async def connected(wire, server):
    tls = None if wire.tls == "plain" else client_context()
    async with await RawClient.connect(server.sockets[0].getsockname(), tls=tls) as client:
        yield client


async def answer(wire, server, data):
    """The head that the server says to this."""
    async with connected(wire, server) as client:
        client.write(data)
        return await client.head()


def check(head, status):
    """It is the answer that was expected, and its date is now."""
    assert head.status == status
    (date,) = head.all("date")
    assert FORM.fullmatch(date)
    assert abs(email.utils.parsedate_to_datetime(date).timestamp() - time.time()) < 5


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (request(), 101),
        (request(without=("Host",)), 400),
        (request(without=("Upgrade",)), 426),
        (request("/", "X: " + "y" * 9000), 431),
        (b"nothing like HTTP\r\n\r\n", 400),
        (request("/", "Origin: https://evil.example"), 403),
        (request("/", "Content-Length: 5") + b"hello", 400),
        (request(line="HEAD / HTTP/1.1"), 405),
    ],
)
@pytest.mark.parametrize("hooks", [{}, {"process_request": lambda *_: None}], ids=["engine", "hook"])
async def test_what_the_rules_answer(wire, data, status, hooks):
    async with wire.serve(idle, **hooks) as server:
        check(await answer(wire, server, data), status)


async def test_what_a_hook_answers(wire):
    def process_request(connection, request):
        if request.path == "/broken":
            raise KeyError("a fault of the hook")
        return connection.respond(503, "later\n")

    async with wire.serve(idle, process_request=process_request) as server:
        check(await answer(wire, server, request()), 503)
        check(await answer(wire, server, request("/broken")), 500)


async def test_a_hook_may_tell_another_date(wire):
    def process_request(connection, request):
        return None if request.path == "/" else Response(404, "Not Found", Headers({"date": OWN, "Server": "mine"}))

    def process_response(connection, request, response):
        if response.status_code == 101:
            response.headers["Date"] = OWN

    options = {"process_request": process_request, "process_response": process_response}
    async with wire.serve(idle, **options) as server:
        for target, status in (("/", 101), ("/missing", 404)):
            head = await answer(wire, server, request(target))
            assert (head.status, head.all("date")) == (status, [OWN])
        assert head.all("server") == ["mine"]


async def test_who_comes_too_late_hears_when(wire):
    async with wire.serve(idle, open_timeout=100 * MS) as server, connected(wire, server) as client:
        client.write(b"GET / HTTP/1.1\r\n")
        check(await client.head(), 408)


async def test_who_waits_while_the_server_closes_hears_when(wire):
    asked = asyncio.Event()

    async def process_request(connection, request):
        asked.set()
        await asyncio.sleep(100 * MS)

    async with wire.serve(idle, process_request=process_request) as server, connected(wire, server) as client:
        client.write(request())
        await asked.wait()
        server.close()
        check(await client.head(), 503)


async def test_every_answer_of_a_hook_names_the_server(line):
    async with line.serve(idle, process_request=lambda connection, _: connection.respond(200, "fine\n")) as server:
        assert (await answer(line, server, request())).all("server") == ["Everwire"]
    options = {"server_header": None, "process_request": lambda connection, _: connection.respond(200, "fine\n")}
    async with line.serve(idle, **options) as server:
        assert (await answer(line, server, request())).all("server") == []
