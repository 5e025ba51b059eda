"""Hooks of the opening handshake: who may come in, and what is answered."""

from __future__ import annotations

import asyncio
import http

import pytest
from peer import frames
from peer.certificates import client_context
from peer.client import RawClient, request
from peer.timing import MS, eventually

import everwire
from everwire import Headers, Response


def health(connection, request):
    if request.path == "/health":
        return connection.respond(http.HTTPStatus.OK, "fine\n")
    return None


async def test_a_request_can_be_answered_like_a_web_server(wire):
    async with wire.serve(_never, process_request=health) as server:
        with pytest.raises(everwire.HandshakeFailed) as raised:
            await wire.connect(server, "/health")
        assert (raised.value.status, raised.value.response.body) == (200, b"fine\n")
        assert raised.value.response.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert raised.value.response.reason_phrase == "OK"


async def test_a_health_check_by_plain_http_is_quiet(line, caplog):
    async with line.serve(_never, process_request=health) as server:
        async with await RawClient.connect(server.sockets[0].getsockname()) as client:
            client.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            head = await client.head()
            assert head.status == 200
            assert await client.body() == b"fine\n"
    assert not [record for record in caplog.records if record.levelname not in ("DEBUG", "INFO")]
    assert not [record for record in caplog.records if "handshake" in record.message]


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_hook_may_be_a_function_or_a_coroutine_function(line, is_async):
    seen = []

    def look(connection, request):
        seen.append((connection.state, request.path, request.query, request.cookies, request.headers["X-Name"]))

    async def look_slowly(connection, request):
        await asyncio.sleep(5 * MS)
        look(connection, request)

    async with line.serve(_echo, process_request=look_slowly if is_async else look) as server:
        headers = {"X-Name": "value", "Cookie": "a=b; c=d"}
        async with line.connect(server, "/path?q=1&r=2", additional_headers=headers) as client:
            await client.send("x")
            assert await client.recv() == "x"
    assert seen == [
        (everwire.State.CONNECTING, "/path?q=1&r=2", {"q": "1", "r": "2"}, {"a": "b", "c": "d"}, "value"),
    ]


async def test_a_response_is_sent_as_it_was_made(line):
    def refuse(connection, request):
        fields = Headers([("Set-Cookie", "a=b"), ("Set-Cookie", "c=d"), ("X-Reason", "because")])
        return Response(403, "Not today", fields, b"\x00\xff body")

    async with line.serve(_never, process_request=refuse) as server:
        with pytest.raises(everwire.HandshakeFailed) as raised:
            await line.connect(server)
        response = raised.value.response
        assert (response.status_code, response.reason_phrase, response.body) == (403, "Not today", b"\x00\xff body")
        assert response.headers.get_all("Set-Cookie") == ["a=b", "c=d"]


async def test_a_hook_that_fails_answers_500_and_logs(line, caplog):
    def broken(connection, request):
        raise KeyError("a fault of the hook")

    async with line.serve(_never, process_request=broken) as server:
        with pytest.raises(everwire.HandshakeFailed) as raised:
            await line.connect(server)
        assert raised.value.status == 500
        assert b"a fault of the hook" not in raised.value.response.body
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "a fault of the hook" in record.exc_text


@pytest.mark.parametrize("wrong", ["401", 401, (401, "no")])
async def test_a_hook_that_returns_something_else_answers_500(line, caplog, wrong):
    async with line.serve(_never, process_request=lambda connection, request: wrong) as server:
        with pytest.raises(everwire.HandshakeFailed) as raised:
            await line.connect(server)
        assert raised.value.status == 500
    assert any("expected Response" in (record.exc_text or "") for record in caplog.records)


@pytest.mark.parametrize("field", [("X-Break", "a\r\nSet-Cookie: stolen=1"), ("Bad Name", "a"), ("X-Nul", "a\0b")])
async def test_a_field_that_would_break_out_of_the_response_is_not_sent(line, caplog, field):
    def inject(connection, request, response):
        response.headers[field[0]] = field[1]

    async with line.serve(_never, process_response=inject) as server:
        async with await RawClient.connect(server.sockets[0].getsockname()) as client:
            client.write(request())
            head = await client.head()
            assert head.status == 500
            assert "set-cookie" not in head
            assert "bad name" not in head


async def test_a_response_can_be_changed_or_replaced(line):
    def change(connection, request, response):
        if request.path == "/replace":
            return connection.respond(503, "later\n")
        response.headers["X-Served-By"] = "one"
        return None

    async with line.serve(_echo, process_response=change) as server:
        async with line.connect(server) as client:
            assert client.response.headers["X-Served-By"] == "one"
            await client.send("x")
            assert await client.recv() == "x"
        with pytest.raises(everwire.HandshakeFailed) as raised:
            await line.connect(server, "/replace")
        assert raised.value.status == 503


async def test_the_fields_of_the_protocol_cannot_be_changed(line):
    def change(connection, request, response):
        for name in ("Upgrade", "Connection", "Sec-WebSocket-Accept", "Sec-WebSocket-Extensions"):
            response.headers[name] = "nonsense"

    async with line.serve(_echo, process_response=change) as server, line.connect(server) as client:
        await client.send("x")
        assert await client.recv() == "x"


async def test_what_follows_the_request_waits_for_a_slow_hook(wire):
    """Frames in the segment of the handshake, and those that come while the hook thinks."""

    async def slow(connection, request):
        await asyncio.sleep(30 * MS)

    async with wire.serve(_echo, process_request=slow) as server:
        tls = None if wire.tls == "plain" else client_context()
        async with await RawClient.connect(server.sockets[0].getsockname(), tls=tls) as client:
            client.write(request() + frames.encode(frames.TEXT, b"early"))
            await asyncio.sleep(10 * MS)
            client.send(frames.TEXT, b"later")
            assert (await client.head()).status == 101
            assert [(await client.frame()).payload for _ in range(2)] == [b"early", b"later"]


async def test_a_hook_that_takes_too_long_is_answered_with_408(line):
    entered = asyncio.Event()

    async def forever(connection, request):
        entered.set()
        await asyncio.Event().wait()

    async with line.serve(_never, process_request=forever, open_timeout=100 * MS) as server:
        async with await RawClient.connect(server.sockets[0].getsockname()) as client:
            client.write(request())
            assert (await client.head()).status == 408
            await client.body()
        assert entered.is_set()


async def test_a_client_that_leaves_while_a_hook_thinks_is_forgotten(line, caplog):
    entered = asyncio.Event()

    async def slow(connection, request):
        entered.set()
        await asyncio.Event().wait()

    async with line.serve(_never, process_request=slow) as server:
        client = await RawClient.connect(server.sockets[0].getsockname())
        client.write(request())
        await entered.wait()
        client.reset()
        await eventually(lambda: not server._shard.connections)
        await eventually(lambda: not server._deciding)
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]


async def test_attributes_set_by_a_hook_are_there_in_the_handler(line):
    def authenticate(connection, request):
        connection.user = request.query["user"]

    async def greet(connection):
        await connection.send(connection.user)

    async with line.serve(greet, process_request=authenticate) as server:
        async with line.connect(server, "/?user=anna") as client:
            assert await client.recv() == "anna"


async def test_basic_auth_lets_in_who_knows_the_password(wire):
    async def greet(connection):
        await connection.send(connection.username)

    hook = everwire.basic_auth(realm="the realm", credentials=("anna", "päss:word"))
    async with wire.serve(greet, process_request=hook) as server:
        url = wire.url(server)
        scheme, rest = url.split("://")
        async with everwire.connect(
            f"{scheme}://anna:p%C3%A4ss:word@{rest}", ssl=wire._for_client(), compression=None
        ) as client:
            assert await client.recv() == "anna"
        for credentials in ("", "anna:wrong@", "bob:p%C3%A4ss:word@"):
            with pytest.raises(everwire.HandshakeFailed) as raised:
                await everwire.connect(f"{scheme}://{credentials}{rest}", ssl=wire._for_client())
            assert raised.value.status == 401
            assert raised.value.response.headers["WWW-Authenticate"] == 'Basic realm="the realm", charset="UTF-8"'


async def test_the_server_field_can_be_chosen(line):
    for chosen, expected in (({}, "Everwire"), ({"server_header": "mine"}, "mine"), ({"server_header": None}, None)):
        async with line.serve(_echo, **chosen) as server, line.connect(server) as client:
            assert client.response.headers.get("Server") == expected


async def test_a_connection_can_be_of_a_class_of_ones_own(wire):
    class Mine(everwire.ServerConnection):
        greeting = "hello"

    class Theirs(everwire.ClientConnection):
        def shout(self):
            return self.send("HELLO")

    async def greet(connection):
        assert await connection.recv() == "HELLO"
        await connection.send(connection.greeting)

    async with wire.serve(greet, create_connection=Mine) as server:
        async with wire.connect(server, create_connection=Theirs) as client:
            await client.shout()
            assert await client.recv() == "hello"


async def test_request_and_response_are_known_on_both_sides(wire):
    async with wire.pair(target="/a/b?c=d", user_agent_header="tests", origin=None) as (client, server):
        assert server.request.path == "/a/b?c=d"
        assert server.request.headers["User-Agent"] == "tests"
        assert server.request.headers["user-agent"] == "tests"
        assert server.response.status_code == client.response.status_code == 101
        # When it was said, the engine adds at the very last.
        said = {**dict(server.response.headers.raw_items()), "Date": client.response.headers["Date"]}
        assert said == dict(client.response.headers.raw_items())


async def test_head_is_answered_without_the_body_but_with_its_length(line):
    async with line.serve(_never, process_request=health) as server:
        for target, status, length in (("/health", 200, "5"), ("/", 405, None)):
            async with await RawClient.connect(server.sockets[0].getsockname()) as client:
                client.write(request(line=f"HEAD {target} HTTP/1.1"))
                head = await client.head()
                assert head.status == status
                assert head["content-length"] == length or (length is None and int(head["content-length"]) > 0)
                assert await client.body() == b""


async def _never(connection):
    raise AssertionError("nobody gets here")


async def _echo(connection):
    async for message in connection:
        await connection.send(message)


async def test_a_connection_that_is_being_asked_about_is_not_made_again(line):
    made = []
    asked, go_on = asyncio.Event(), asyncio.Event()

    def create(server):
        made.append(everwire.ServerConnection(server) if not made else made[0])
        return made[-1]

    async def wait(connection, request):
        asked.set()
        await go_on.wait()

    loop = asyncio.get_running_loop()
    told = []
    loop.set_exception_handler(lambda loop, context: told.append(context["exception"]))
    try:
        async with line.serve(lambda connection: None, create_connection=create, process_request=wait) as server:
            first = asyncio.ensure_future(line.connect(server).__aenter__())
            await asked.wait()
            with pytest.raises(everwire.HandshakeFailed):
                await line.connect(server)
            go_on.set()
            await (await first).close()
    finally:
        loop.set_exception_handler(None)
    assert "make a new one each time" in str(told)
