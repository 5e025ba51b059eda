"""``route()`` and what strangers ask it for: an answer, not a fault of the server."""

from __future__ import annotations

import logging

import pytest
from peer.client import RawClient, request

from everwire.compat.websockets.asyncio.router import route

routing = pytest.importorskip("werkzeug.routing")


async def handler(connection, name):
    await connection.send(name)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (request("/room/one"), 101),
        (request("/room/one?a=b"), 101),
        (request("http://localhost/room/one?a=b"), 101),
        (request("http://localhost?a=b"), 404),
        (request("/elsewhere"), 404),
        (request("//[?t=y"), 404),
        (request("//evil.example/room/one"), 404),
        (request("/%zz%ff?%"), 404),
        (request("/room/one", without=("Host",)), 400),
        (request("/room/one", "Host: localhost"), 400),
        (request("/room/one", host="\N{LINE SEPARATOR}"), 400),
        (request("/room/one", host="[::1"), 400),
        (request(line="GET /room/one HTTP/1.0", without=("Host",)), 505),
    ],
)
async def test_every_request_is_answered(caplog, data, status):
    rules = routing.Map([routing.Rule("/room/<name>", endpoint=handler)])
    async with route(rules, "127.0.0.1", 0) as server:
        async with await RawClient.connect(server.sockets[0].getsockname()) as client:
            client.write(data)
            assert (await client.head()).status == status
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []
