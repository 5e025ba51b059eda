"""``everwire.compat.websockets`` beside the package whose names it has: modules, signatures, exceptions, arguments."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import inspect
import logging
import socket
import ssl
import sys

import pytest
import websockets.asyncio.client
import websockets.asyncio.server
import websockets.exceptions
import websockets.frames
from peer.certificates import client_context, server_context

import everwire
import everwire.compat.websockets as facade
from everwire.compat.websockets import exceptions
from everwire.compat.websockets.asyncio.client import ClientConnection, connect, unix_connect
from everwire.compat.websockets.asyncio.server import ServerConnection, serve, unix_serve
from everwire.compat.websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    ServerPerMessageDeflateFactory,
)

NOT_OFFERED = {"ClientProtocol", "Frame", "Protocol", "ServerProtocol", "Side"}
"""The protocol classes and what belongs to them."""
MODULES = [
    "asyncio.client",
    "asyncio.router",
    "asyncio.server",
    "datastructures",
    "exceptions",
    "frames",
    "http11",
    "proxy",
    "typing",
    "uri",
]


async def echo(connection):
    async for message in connection:
        await connection.send(message)


def url(server, scheme="ws"):
    return "{}://{}:{}/".format(scheme, *server.sockets[0].getsockname()[:2])


def test_the_package_has_every_name_but_the_protocol_classes():
    assert set(websockets.__all__) - set(facade.__all__) == NOT_OFFERED
    assert set(facade.__all__) - set(websockets.__all__) <= {"__version__"}
    assert facade.__version__ == websockets.__version__


@pytest.mark.parametrize("name", MODULES)
def test_a_module_has_every_name(name):
    theirs = importlib.import_module(f"websockets.{name}")
    ours = importlib.import_module(f"everwire.compat.websockets.{name}")
    assert {public for public in theirs.__all__ if not hasattr(ours, public)} <= NOT_OFFERED
    assert all(hasattr(ours, public) for public in ours.__all__)


@pytest.mark.parametrize("name", ["sync", "legacy", "trio", "server"])
def test_the_other_apis_are_not_there(name):
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(f"everwire.compat.websockets.{name}")


DIFFERENT_DEFAULTS = {"server_header", "user_agent_header", "process_exception", "reconnect_delays"}


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(serve, websockets.asyncio.server.serve), (connect, websockets.asyncio.client.connect)],
    ids=["serve", "connect"],
)
def test_arguments_and_defaults_are_theirs(ours, theirs):
    mine, original = (inspect.signature(function).parameters for function in (ours, theirs))
    for name, parameter in original.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            continue
        assert name in mine
        if name not in DIFFERENT_DEFAULTS:
            assert mine[name].default == parameter.default, name
            assert mine[name].kind == parameter.kind, name
    # Those that theirs looks for among the others, and that Everwire is told.
    assert set(mine) - set(original) <= {"unix", "options", "path", "sock", "ssl", "allow_plaintext"}


def test_the_numbers_are_theirs():
    for name in ("CloseCode", "Opcode"):
        assert dict(getattr(facade, name).__members__) == dict(getattr(websockets.frames, name).__members__)
    assert [state.name for state in facade.State] == ["CONNECTING", "OPEN", "CLOSING", "CLOSED"]


@pytest.mark.parametrize("name", websockets.exceptions.__all__)
def test_an_exception_derives_from_what_it_derives_from_there(name):
    theirs, ours = getattr(websockets.exceptions, name), getattr(exceptions, name)
    for ancestor in theirs.__mro__:
        if ancestor.__name__ in websockets.exceptions.__all__:
            assert issubclass(ours, getattr(exceptions, ancestor.__name__))
    assert issubclass(ours, everwire.EverwireError)


async def test_either_packages_names_catch_a_refusal():
    async with serve(echo, "127.0.0.1", 0, process_request=lambda ws, _: ws.respond(503, "later")) as server:
        with pytest.raises(exceptions.InvalidStatus, match="server rejected WebSocket connection: HTTP 503") as refused:
            await connect(url(server))
        assert isinstance(refused.value, exceptions.InvalidHandshake)
        assert isinstance(refused.value, everwire.HandshakeFailed)
        assert refused.value.response.body == b"later"
        assert refused.value.status == 503


async def test_either_packages_names_catch_a_second_receiver():
    async with serve(echo, "127.0.0.1", 0) as server, connect(url(server)) as client:
        receiving = asyncio.ensure_future(client.recv())
        await asyncio.sleep(0)
        with pytest.raises(exceptions.ConcurrencyError, match="another coroutine is already running recv"):
            await client.recv()
        receiving.cancel()


async def test_a_server_that_hangs_up_is_no_valid_response():
    async def hang_up(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server:
        with pytest.raises(exceptions.InvalidMessage) as failed:
            await connect(url(server))
        assert isinstance(failed.value.__cause__, EOFError)


@pytest.mark.parametrize("wrong", ["http://localhost/", "ws://", "ws://localhost/#fragment", "ws://user@localhost/"])
def test_what_is_no_url_is_an_invalid_uri(wrong):
    with pytest.raises(exceptions.InvalidURI) as raised:
        connect(wrong)
    assert raised.value.uri == wrong
    with pytest.raises(everwire.UsageError):
        connect(wrong)


async def test_connections_have_what_programs_use_of_a_transport():
    seen = asyncio.get_running_loop().create_future()

    async def handler(connection):
        seen.set_result(connection)
        await connection.wait_closed()

    async with serve(handler, "127.0.0.1", 0) as server, connect(url(server)) as client:
        connection = await seen
        assert isinstance(connection, ServerConnection)
        assert isinstance(client, ClientConnection)
        assert connection.loop is asyncio.get_running_loop()
        for one, other in ((client, connection), (connection, client)):
            assert one.transport.get_extra_info("peername") == other.local_address == one.remote_address
            assert one.transport.get_extra_info("sockname") == other.remote_address == one.local_address
            assert one.transport.get_extra_info("ssl_object", "none") == "none"
            assert one.transport.get_write_buffer_size() == 0
            assert not one.transport.is_closing()
        client.transport.abort()
        await connection.wait_closed()
        assert connection.transport.is_closing()
        assert connection.close_code == 1006


async def test_with_an_ssl_context_the_transport_is_asyncios(tmp_path):
    async with serve(echo, "127.0.0.1", 0, ssl=server_context(tmp_path)) as server:
        async with connect(url(server, "wss"), ssl=client_context()) as client:
            assert isinstance(client.transport.get_extra_info("ssl_object"), ssl.SSLObject)


@pytest.mark.parametrize("trust", [None, "system's"])
async def test_a_certificate_that_is_not_trusted_is_an_ssl_error(tmp_path, trust):
    context = None if trust is None else ssl.create_default_context()
    options = {} if context is None else {"ssl": context}
    async with serve(echo, "127.0.0.1", 0, ssl=server_context(tmp_path)) as server:
        with pytest.raises(ssl.SSLCertVerificationError):
            await connect(url(server, "wss"), **options)


async def test_iteration_may_be_left_with_aclose():
    async with serve(echo, "127.0.0.1", 0) as server, connect(url(server)) as client:
        for text in "one", "two":
            await client.send(text)
        async with contextlib.aclosing(aiter(client)) as messages:
            assert await anext(messages) == "one"
        assert await client.recv() == "two"


@pytest.mark.parametrize(
    ("line", "status"),
    [("GET /a HTTP/1.1", 426), ("HEAD /a HTTP/1.1", 405), ("OPTIONS /a HTTP/1.0", 405), ("GET /a HTTP/1.0", 505)],
)
@pytest.mark.parametrize("is_answered", [True, False])
async def test_process_request_sees_method_and_protocol(line, status, is_answered):
    seen = []

    def process_request(connection, request):
        seen.append((request.method, request.path, request.protocol))
        return connection.respond(200, "fine") if is_answered else None

    async with serve(echo, "127.0.0.1", 0, process_request=process_request) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(f"{line}\r\nHost: localhost\r\n\r\n".encode())
        answer = await reader.readline()
        writer.close()
        await writer.wait_closed()
    assert answer.split()[1] == str(200 if is_answered else status).encode()
    assert seen == [tuple(line.split(" "))]


async def test_field_values_are_read_as_utf_8_if_they_are():
    seen = asyncio.Queue()

    async def handler(connection):
        seen.put_nowait(connection.request.headers["X-Name"])

    async with serve(handler, "127.0.0.1", 0) as server:
        for octets in ("Zoë".encode(), "Zoë".encode("latin-1")):
            # That package sends each character as one octet.
            fields = {"X-Name": octets.decode("latin-1")}
            async with websockets.asyncio.client.connect(url(server), additional_headers=fields):
                assert await seen.get() == "Zoë"


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
async def test_addresses_are_pairs_with_ipv6_too():
    ours = asyncio.Queue()

    async def handler(connection):
        ours.put_nowait((connection.local_address, connection.remote_address))

    async with serve(handler, "::1", 0) as server:
        host, port = server.sockets[0].getsockname()[:2]
        async with connect(f"ws://[{host}]:{port}/") as client:
            assert client.remote_address == (host, port)
            assert await ours.get() == (client.remote_address, client.local_address)
            assert len(client.local_address) == 2


async def test_loggers_have_their_names(caplog):
    caplog.set_level(logging.INFO, "websockets.server")
    async with serve(echo, "127.0.0.1", 0) as server, connect(url(server)) as client:
        assert client.logger.name == "websockets.client"
        host, port = server.sockets[0].getsockname()
    assert [(record.name, record.getMessage()) for record in caplog.records] == [
        ("websockets.server", f"server listening on {host}:{port}"),
        ("websockets.server", "server closing"),
        ("websockets.server", "server closed"),
    ]


async def test_every_page_is_let_in_unless_origins_are_named():
    async with serve(echo, "127.0.0.1", 0) as server, connect(url(server), origin="https://elsewhere.example"):
        pass
    async with serve(echo, "127.0.0.1", 0, origins=["https://here.example"]) as server:
        with pytest.raises(exceptions.InvalidStatus):
            await connect(url(server), origin="https://elsewhere.example")


async def test_without_a_host_every_interface_is_served(caplog):
    async with serve(echo, None, 0) as server:
        assert {made.getsockname()[0] for made in server.sockets} & {"0.0.0.0", "::"}
    assert "everybody on the way can read" in caplog.text


async def test_a_client_without_a_common_subprotocol_is_refused():
    async with serve(echo, "127.0.0.1", 0, subprotocols=["chat", "news"]) as server:
        for theirs in (None, ["mail"]):
            with pytest.raises(exceptions.InvalidStatus) as refused:
                await connect(url(server), subprotocols=theirs)
            assert refused.value.response.status_code == 400
        async with connect(url(server), subprotocols=["mail", "news"]) as client:
            assert client.subprotocol == "news"


async def test_factories_of_compression_are_parameters():
    ours = ServerPerMessageDeflateFactory(
        server_max_window_bits=11, client_max_window_bits=11, compress_settings={"memLevel": 4}
    )
    async with serve(echo, "127.0.0.1", 0, extensions=[ours]) as server:
        theirs = ClientPerMessageDeflateFactory(client_max_window_bits=True, server_no_context_takeover=True)
        async with connect(url(server), extensions=[theirs]) as client:
            agreed = client.response.headers["Sec-WebSocket-Extensions"]
            assert "server_max_window_bits=11" in agreed
            assert "server_no_context_takeover" in agreed
            await client.send("again and again and again " * 100)
            assert await client.recv() == "again and again and again " * 100
        async with connect(url(server), compression=None) as client:
            assert "Sec-WebSocket-Extensions" not in client.response.headers


async def test_sizes_may_be_pairs():
    async with serve(echo, "127.0.0.1", 0, max_size=(1000, None), max_queue=(8, 2), write_limit=(4096, 1024)) as server:
        async with connect(url(server), max_size=(2000, 500), max_queue=None) as client:
            await client.send("x" * 1001)
            with pytest.raises(exceptions.ConnectionClosedError, match="1009"):
                await client.recv()


async def test_arguments_of_asyncios_functions_that_change_nothing_are_taken():
    async with serve(echo, "127.0.0.1", 0, reuse_address=True, ssl_handshake_timeout=None) as server:
        async with connect(url(server), proxy=None, happy_eyeballs_delay=0.25, all_errors=True) as client:
            await client.send("Hello!")
            assert await client.recv() == "Hello!"


async def test_a_unix_socket_is_served(tmp_path):
    path = tmp_path / "socket"
    async with unix_serve(echo, path), unix_connect(path) as client:
        await client.send("Hello!")
        assert await client.recv() == "Hello!"


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: serve(echo, "localhost", 0, subprotocols="chat"), TypeError, "must be a list, not a str"),
        (lambda: connect("ws://localhost/", subprotocols="chat"), TypeError, "must be a list, not a str"),
        (lambda: serve(echo, "localhost", 0, compression="gzip"), ValueError, "unsupported compression: gzip"),
        (
            lambda: serve(echo, "localhost", 0, sock=socket.socket),
            ValueError,
            "host/port and sock can not be specified",
        ),
        (lambda: unix_serve(echo), ValueError, "path was not specified, and no sock specified"),
        (lambda: unix_serve(echo, "path", sock=socket.socket), ValueError, "path and sock can not be specified"),
        (lambda: unix_connect(), ValueError, "no path and sock were specified"),
        (lambda: unix_connect("path", sock=socket.socket), ValueError, "path and sock can not be specified"),
        (lambda: connect("ws://localhost/", ssl=ssl.SSLContext), ValueError, "incompatible with a ws:// URI"),
        (lambda: connect("wss://localhost/", ssl=None), ValueError, "incompatible with a wss:// URI"),
        (
            lambda: connect("ws://localhost/", proxy="ftp://proxy"),
            exceptions.InvalidProxy,
            "scheme ftp isn't supported",
        ),
        (lambda: connect("ws://localhost/", proxy="http://proxy", proxy_ssl=True), ValueError, "an http:// proxy"),
        (lambda: connect("ws://localhost/", proxy="https://proxy", proxy_ssl=None), ValueError, "an https:// proxy"),
        (lambda: connect("ws://localhost/", extensions=[object()]), everwire.UsageError, "no extension but"),
        (lambda: serve(echo, "localhost", 0, max_size=(None, 1000)), everwire.UsageError, "not fragments"),
    ],
)
def test_arguments_that_do_not_fit_together(call, error, text):
    with pytest.raises(error, match=text):
        call()


async def test_routing_needs_werkzeug(monkeypatch):
    monkeypatch.setitem(sys.modules, "werkzeug.routing", None)
    with pytest.raises(ImportError, match=r"route\(\) requires werkzeug"):
        facade.route(None, "localhost", 0)
