"""A program whose types are known: type checkers must find what the comments say, and only these mistakes.

``# -> TYPE`` is what ``reveal_type`` shows; ``# mistake`` is where a type checker must complain.
"""

import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any, reveal_type

from everwire import (
    TLS,
    ClientConnection,
    Close,
    Connection,
    ConnectionClosed,
    Deflate,
    Headers,
    Limits,
    LinkStatus,
    ReconnectingWebSocket,
    Request,
    Response,
    ServerConnection,
    State,
    basic_auth,
    broadcast,
    connect,
    serve,
    unix_connect,
    unix_serve,
)
from everwire.browser import CloseEvent, MessageEvent, WebSocket, WebSocketStream
from everwire.compat import websockets
from everwire.compat.websockets.asyncio import server as websockets_server


async def receiving(ws: Connection, either: bool | None) -> None:
    reveal_type(await ws.recv())  # -> str | bytes
    reveal_type(await ws.recv(decode=True))  # -> str
    reveal_type(await ws.recv(decode=False))  # -> bytes
    reveal_type(await ws.recv(either))  # -> str | bytes
    reveal_type(ws.recv(decode=True))  # -> Coroutine[Any, Any, str]
    async for message in ws:
        reveal_type(message)  # -> str | bytes
    async for part in ws.recv_streaming():
        reveal_type(part)  # -> str | bytes
    async for text in ws.recv_streaming(decode=True):
        reveal_type(text)  # -> str
    await ws.recv(decode="utf-8")  # mistake


async def sending(ws: Connection, parts: AsyncIterator[str]) -> None:
    await ws.send("text")
    await ws.send(memoryview(b"bytes-like"))
    await ws.send(["a ", "message ", "in parts"])
    await ws.send(parts, text=False)
    ws.send_nowait(bytearray(b"now"), text=True, flush=True)
    reveal_type(ws.write_buffer_size)  # -> int
    reveal_type(await (await ws.ping()))  # -> float
    await ws.pong(b"")
    await ws.send(1)  # mistake
    await ws.send([1])  # mistake
    ws.send_nowait(["parts"])  # mistake
    broadcast([ws], "text", raise_exceptions=True)
    broadcast(["ws"], "text")  # mistake


def callbacks(ws: ServerConnection) -> None:
    def on_message(connection: ServerConnection, message: str | bytes) -> None:
        connection.send_nowait(message)

    async def too_slow(connection: ServerConnection, message: str | bytes) -> None:
        await connection.send(message)

    ws.on_message = on_message
    ws.on_message = lambda connection, message: connection.send_nowait(message)
    ws.on_message = None
    ws.pause()
    ws.resume()
    ws.abort()
    ws.on_message = too_slow  # mistake


async def describing(ws: ServerConnection) -> None:
    reveal_type(ws.on_message)  # -> Callable[[ServerConnection, str | bytes], None] | None
    reveal_type(ws.state)  # -> State
    reveal_type(ws.state is State.OPEN)  # -> bool
    reveal_type(ws.request)  # -> Request | None
    reveal_type(ws.response)  # -> Response | None
    reveal_type(ws.subprotocol)  # -> str | None
    reveal_type(ws.latency)  # -> float
    reveal_type(ws.close_code)  # -> int | None
    reveal_type(ws.close_reason)  # -> str | None
    try:
        await ws.close(1000, "done")
    except ConnectionClosed as closed:
        reveal_type(closed.rcvd)  # -> Close | None
        reveal_type(closed.code)  # -> int


async def serving(decide: Callable[[Request], bool]) -> None:
    async def handler(ws: ServerConnection) -> None:
        await ws.send("hello")

    def process_request(ws: ServerConnection, request: Request) -> Response | None:
        return None if decide(request) else ws.respond(403, "no\n")

    def not_a_handler(ws: ServerConnection, path: str) -> None: ...

    tls = TLS("certificate.pem", "key.pem")
    limits = Limits(message=2**16)
    async with serve(handler, "", 0, ssl=tls, limits=limits, process_request=process_request) as server:
        reveal_type(server.is_serving())  # -> bool
        reveal_type(list(server.connections))  # -> list[ServerConnection]
    serve(not_a_handler, "", 0)  # mistake
    serve(handler, "", 0, ping_interval=None, max_size=2**16, max_queue=(16, None), write_limit=2**15, hsts=60)
    settings: dict[str, Any] = {"ping_interval": 20}
    serve(handler, "", 0, **settings)
    serve(handler, "", 0, ping_intervall=20)  # mistake
    serve(handler, "", 0, ping_interval="soon")  # mistake
    serve(handler, "", 0, max_size="big")  # mistake
    serve(handler, "", 0, max_queue=(1, 2, 3))  # mistake
    serve(handler, "", 0, compression="gzip")  # mistake
    serve(handler, "", 0, overflow="block")  # mistake
    serve(handler, "", 0, allowed_hosts=[b"host"])  # mistake
    Limits(message="1 MiB")  # mistake


async def connecting() -> None:
    async with connect("ws://localhost", compression=Deflate(level=1), additional_headers={"A": "b"}) as ws:
        reveal_type(ws)  # -> ClientConnection
    reveal_type(await connect("ws://localhost"))  # -> ClientConnection
    reveal_type(Headers({"A": "b"}).get_all("a"))  # -> list[str]
    reveal_type(Close(1000, "").reason)  # -> str
    connect("ws://localhost", local_addr=("127.0.0.1", 0), happy_eyeballs_delay=None, max_redirects=0)
    connect("ws://localhost", proxy=None)
    connect("ws://localhost", proxy="socks5h://user:password@proxy")
    connect("ws://localhost", proxy=8080)  # mistake
    connect(b"ws://localhost")  # mistake
    connect("ws://localhost", ping_interval=None, close_timeout=1.5, max_size=None, compression=None)
    connect("ws://localhost", ping_intervall=20)  # mistake
    connect("ws://localhost", close_timeout="10")  # mistake
    connect("ws://localhost", max_size=1.5)  # mistake
    connect("ws://localhost", hsts=60)  # mistake


async def coming_back() -> None:
    async def token() -> str:
        return "secret"

    async def subscribe(ws: ClientConnection) -> None:
        await ws.send("subscribe")

    def show(status: LinkStatus) -> None:
        reveal_type(status.delay)  # -> float | None

    async with ReconnectingWebSocket("ws://localhost", token=token, on_open=subscribe, on_state=show) as ws:
        reveal_type(ws.connection)  # -> ClientConnection | None
        reveal_type(await ws.recv())  # -> str | bytes
        reveal_type(await ws.recv(decode=True))  # -> str
        async for message in ws:
            reveal_type(message)  # -> str | bytes
        async for status in ws.states():
            reveal_type(status.error)  # -> Exception | None
        reveal_type(await ws.send("text"))  # -> Awaitable[None]
        await ws.send(["parts"])  # mistake
    ReconnectingWebSocket(lambda: "ws://localhost", additional_headers=lambda: {"A": "b"}, overflow="oldest")
    ReconnectingWebSocket("ws://localhost", overflow="latest")  # mistake
    ReconnectingWebSocket("ws://localhost", ssl=TLS(), proxy=None, max_size=None, ping_interval=10)
    ReconnectingWebSocket("ws://localhost", ping_intervall=10)  # mistake
    ReconnectingWebSocket("ws://localhost", max_size="big")  # mistake
    ReconnectingWebSocket("ws://localhost", proxy=8080)  # mistake
    ReconnectingWebSocket("ws://localhost", sock=None)  # mistake
    ReconnectingWebSocket("ws://localhost", token=1)  # mistake
    ReconnectingWebSocket("ws://localhost", on_state=subscribe)  # mistake


async def subclassing() -> None:
    class Player(ServerConnection):
        name: str = ""

    class Robot(ClientConnection): ...

    async def handler(ws: ServerConnection) -> None:
        assert isinstance(ws, Player)
        reveal_type(ws.name)  # -> str
        reveal_type(ws.on_message)  # -> Callable[[Player, str | bytes], None] | None

    serve(handler, "", 0, create_connection=Player)
    connect("ws://localhost", create_connection=Robot)
    serve(handler, "", 0, create_connection=Robot)  # mistake


def encrypting(context: ssl.SSLContext) -> None:
    TLS("certificate.pem", b"-----BEGIN", client_ca="ca.pem", client_optional=True).reload()
    connect("wss://localhost", ssl=TLS(trust="ca.pem", check_hostname=False))
    connect("wss://localhost", ssl=context)
    connect("wss://localhost", ssl=True)
    connect("wss://localhost", proxy="https://proxy", proxy_ssl=context, proxy_server_hostname="proxy.test")
    connect("wss://localhost", proxy="https://proxy", proxy_ssl=TLS())  # mistake
    connect("wss://localhost", ssl="certificate.pem")  # mistake
    TLS(certificate=1)  # mistake
    Deflate(level="fast")  # mistake


async def using_unix_sockets() -> None:
    async def handler(ws: ServerConnection) -> None:
        reveal_type(ws.username)  # -> str | None

    protect = basic_auth(realm="here", credentials=("anna", "secret"))
    async with unix_serve(handler, "socket", process_request=protect) as server:
        await server.serve_forever()
    async with unix_connect("socket") as ws:
        reveal_type(ws)  # -> ClientConnection
    unix_serve(handler, "socket", max_size=None, origins="*", backlog=10)
    unix_serve(handler, "socket", ping_intervall=20)  # mistake
    unix_serve(handler, "socket", open_timeout="10")  # mistake
    unix_serve(handler, "socket", port=8000)  # mistake
    unix_connect("socket", max_size=None, subprotocols=["chat"], open_timeout=1)
    unix_connect("socket", ping_intervall=20)  # mistake
    unix_connect("socket", subprotocols=1)  # mistake
    unix_connect("socket", proxy="http://proxy")  # mistake


async def moving_from_websockets() -> None:
    async def handler(ws: websockets.ServerConnection) -> None:
        reveal_type(await ws.recv())  # -> str | bytes
        async for message in ws:
            reveal_type(message)  # -> str | bytes
            await ws.send(message)
        ws.transport.abort()

    async with websockets.serve(handler, "localhost", 0, max_size=(2**20, None), origins=None) as server:
        reveal_type(server.is_serving())  # -> bool
    async with websockets.connect("ws://localhost", ping_interval=None) as connection:
        reveal_type(connection)  # -> ClientConnection
        reveal_type(connection.loop)  # -> AbstractEventLoop
    async for again in websockets.connect("ws://localhost"):
        reveal_type(again.loop)  # -> AbstractEventLoop
    try:
        reveal_type((await websockets.connect("ws://localhost")).loop)  # -> AbstractEventLoop
    except websockets.InvalidStatus as refused:
        reveal_type(refused.response)  # -> Response
    except websockets.ConnectionClosedOK as closed:
        reveal_type(closed.rcvd)  # -> Close | None
    websockets_server.broadcast([connection], b"all")
    websockets.serve(handler, 8765)  # mistake
    websockets.connect(b"ws://localhost")  # mistake
    websockets.serve(handler, "localhost", 0, reuse_port=True, ssl_handshake_timeout=10, idle_timeout=60)
    websockets.serve(handler, "localhost", 0, ping_intervall=20)  # mistake
    websockets.serve(handler, "localhost", 0, ping_interval="soon")  # mistake
    websockets.serve(handler, "localhost", 0, backlog="many")  # mistake
    websockets.connect("ws://localhost", local_addr=("127.0.0.1", 0), ssl=None, server_hostname="a.test")
    websockets.connect("ws://localhost", ping_intervall=20)  # mistake
    websockets.connect("ws://localhost", max_size="big")  # mistake
    websockets.connect("ws://localhost", family="inet")  # mistake
    websockets.unix_serve(handler, "socket", ping_interval=20)
    websockets.unix_serve(handler, "socket", ping_intervall=20)  # mistake
    websockets.unix_serve(handler, "socket", max_size="big")  # mistake
    websockets.unix_connect("socket", ping_interval=20)
    websockets.unix_connect("socket", ping_intervall=20)  # mistake
    websockets.unix_connect("socket", max_size="big")  # mistake
    websockets.route(None, "localhost", 0, server_name="a.test", ping_interval=20)
    websockets.route(None, "localhost", 0, ping_intervall=20)  # mistake
    websockets.unix_route(None, "socket", max_size="big")  # mistake


async def browsing() -> None:
    ws = WebSocket("ws://localhost", ["chat"], ssl=None)
    reveal_type(await ws)  # -> WebSocket
    reveal_type(ws.ready_state)  # -> State
    reveal_type(ws.readyState)  # -> State
    reveal_type(ws.buffered_amount)  # -> int
    reveal_type(await ws.wait_closed())  # -> CloseEvent

    def on_message(event: MessageEvent) -> None:
        ws.send_json(event.json())

    async def on_close(event: CloseEvent) -> None:
        reveal_type(event.was_clean)  # -> bool

    ws.on_message = on_message
    ws.onclose = on_close
    ws.on_error = None
    ws.add_event_listener("close", on_close, once=True)
    ws.on_message = on_close  # mistake
    ws.on_open = 1  # mistake
    ws.close("bye")  # mistake
    ws.addEventListener("close", on_close, {"once": True})
    ws.addEventListener("close", on_close, {"ones": True})  # mistake
    ws.addEventListener("close", on_close, ones=True)  # mistake
    WebSocket("ws://localhost", additional_headers={"A": "b"}, max_size=None, open_timeout=5)
    WebSocket("ws://localhost", ping_intervall=20)  # mistake
    WebSocket("ws://localhost", max_size="big")  # mistake
    WebSocket("ws://localhost", subprotocols=["chat"])  # mistake
    async for message in ws:
        reveal_type(message)  # -> str | bytes | memoryview[int] | BytesIO


async def streaming() -> None:
    wss = WebSocketStream("ws://localhost", protocols=["chat"])
    opened = await wss.opened
    reveal_type(opened)  # -> OpenInfo
    reveal_type((await opened.readable.get_reader().read()).value)  # -> str | bytes | None
    reveal_type(await wss.closed)  # -> CloseInfo
    async for message in opened.readable:
        reveal_type(message)  # -> str | bytes
    writer = opened.writable.get_writer()
    await writer.write(b"x")
    reveal_type(writer.desired_size)  # -> int | None
    writer.write(1)  # mistake
    wss.close(1000)  # mistake
    WebSocketStream("ws://localhost", ping_interval=None, limits=Limits())
    WebSocketStream("ws://localhost", ping_intervall=20)  # mistake
    WebSocketStream("ws://localhost", limits=16)  # mistake
