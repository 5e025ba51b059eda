"""Servers that are not ours, all with the same behavior.

``/echo`` returns every message, ``/ping`` pings with it and then says "pong ...", ``/close`` closes with the code and reason that
it holds, and ``/fragments`` returns it in pieces of three bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import aiohttp
import websockets.asyncio.server as websockets
from aiohttp import web
from peer.certificates import identity, server_context
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory

from .messages import cut
from .remote import NODE, decode, need_node, remote

__all__ = ["MAX_SIZE", "SERVERS", "Foreign", "Options", "Server", "node_options"]

MAX_SIZE = 16 * 2**20


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """How a server is started.

    Attributes:
        deflate: parameters of permessage-deflate by their RFC 7692 names; ``None`` for no compression.
        protocols: its subprotocols, the favorite first.
        folder: where to put files.
        tls: whether it has TLS, with the usual certificate.
        unix: a Unix socket to listen on instead of a port.
    """

    folder: Path
    deflate: Mapping[str, Any] | None = dataclasses.field(default_factory=dict)
    protocols: tuple[str, ...] = ("favorite", "other")
    tls: bool = False
    unix: Path | None = None


class Foreign:
    """A server that is running.

    Attributes:
        port: where it listens.
        closed: code and reason with which each connection was closed, as it saw that.
    """

    def __init__(self, options: Options, port: int = 0) -> None:
        self.port = port
        self.closed: asyncio.Queue[tuple[int, str]] = asyncio.Queue()
        self._scheme = "wss" if options.tls else "ws"

    def url(self, path: str) -> str:
        """The address of a behavior."""
        return f"{self._scheme}://127.0.0.1:{self.port}{path}"


@contextlib.asynccontextmanager
async def websockets_server(options: Options) -> AsyncIterator[Foreign]:
    """Python's ``websockets``."""
    foreign = Foreign(options)

    async def handler(connection: websockets.ServerConnection) -> None:
        assert connection.request is not None
        with contextlib.suppress(ConnectionClosed):
            async for message in connection:
                await _behave(connection.request.path, connection, message)
        await connection.wait_closed()
        assert connection.close_code is not None
        foreign.closed.put_nowait((connection.close_code, connection.close_reason or ""))

    deflate = None if options.deflate is None else [ServerPerMessageDeflateFactory(**options.deflate)]
    arguments: dict[str, Any] = {
        "compression": None,
        "extensions": deflate,
        # Left to itself, it refuses clients that offer none of them.
        "select_subprotocol": lambda _, offered: next((name for name in options.protocols if name in offered), None),
        "subprotocols": list(options.protocols),
        "ssl": server_context(options.folder) if options.tls else None,
        "max_size": MAX_SIZE,
    }
    if options.unix is not None:
        async with websockets.unix_serve(handler, str(options.unix), **arguments):
            yield foreign
    else:
        async with websockets.serve(handler, "127.0.0.1", 0, **arguments) as server:
            foreign.port = next(iter(server.sockets)).getsockname()[1]
            yield foreign


async def _behave(path: str, connection: websockets.ServerConnection, message: str | bytes) -> None:
    match path:
        case "/echo":
            await connection.send(message)
        case "/ping":
            await (await connection.ping(message))
            await connection.send(f"pong {message!s}")
        case "/close":
            assert isinstance(message, str)
            code, _, reason = message.partition(" ")
            await connection.close(int(code), reason)
        case "/fragments":
            data = message.encode() if isinstance(message, str) else message
            await connection.send(cut(data, 3), text=isinstance(message, str))


@contextlib.asynccontextmanager
async def aiohttp_server(options: Options) -> AsyncIterator[Foreign]:
    """Python's ``aiohttp``, which sends no fragments and decides by itself about compression."""
    foreign = Foreign(options)

    async def handler(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(
            protocols=options.protocols, compress=options.deflate is not None, max_msg_size=MAX_SIZE, autoping=False
        )
        await socket.prepare(request)
        reason = ""
        while True:
            message = await socket.receive()
            if message.type == aiohttp.WSMsgType.CLOSE:
                reason = message.extra or ""
            if message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED):
                break
            await _answer(request.path, socket, message)
        assert socket.close_code is not None
        foreign.closed.put_nowait((socket.close_code, reason))
        return socket

    application = web.Application()
    application.router.add_get("/{behavior}", handler)
    # Handlers that wait for a message are not waited for.
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    try:
        if options.unix is not None:
            await web.UnixSite(runner, str(options.unix)).start()
        else:
            context = server_context(options.folder) if options.tls else None
            await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
            foreign.port = runner.addresses[0][1]
        yield foreign
    finally:
        await runner.cleanup()


async def _answer(path: str, socket: web.WebSocketResponse, message: aiohttp.WSMessage) -> None:
    match path, message.type:
        case "/echo", aiohttp.WSMsgType.TEXT:
            await socket.send_str(message.data)
        case "/echo", aiohttp.WSMsgType.BINARY:
            await socket.send_bytes(message.data)
        case "/ping", aiohttp.WSMsgType.TEXT:
            await socket.ping(message.data.encode())
        case "/ping", aiohttp.WSMsgType.PONG:
            await socket.send_str(f"pong {bytes(message.data).decode()}")
        case "/close", aiohttp.WSMsgType.TEXT:
            code, _, reason = message.data.partition(" ")
            await socket.close(code=int(code), message=reason.encode())
        case _, aiohttp.WSMsgType.PING:
            await socket.pong(message.data)


@contextlib.asynccontextmanager
async def node_server(options: Options) -> AsyncIterator[Foreign]:
    """Node's ``ws``."""
    arguments: dict[str, Any] = {"deflate": node_options(options.deflate), "protocols": options.protocols}
    if options.tls:
        certificate, key = identity().write(options.folder)
        arguments |= {"cert": str(certificate), "key": str(key)}
    if options.unix is not None:
        arguments["path"] = str(options.unix)
    node = need_node()
    async with remote(node, NODE / "server.cjs", json.dumps(arguments)) as program:
        ready, port = await program.hear()
        assert ready == "ready"
        foreign = Foreign(options, int(port))
        async with asyncio.TaskGroup() as tasks:
            listening = tasks.create_task(_listen(program, foreign))
            yield foreign
            listening.cancel()


async def _listen(program: Any, foreign: Foreign) -> None:
    while True:
        event, *words = await program.hear()
        assert event == "closed", words
        foreign.closed.put_nowait((int(words[0]), decode(words[1]).decode()))


def node_options(deflate: Mapping[str, Any] | None) -> dict[str, Any] | bool:
    """The parameters under the names that ``ws`` has for them: ``serverMaxWindowBits``."""
    if deflate is None:
        return False
    words = {name: name.title().replace("_", "") for name in deflate}
    return {"threshold": 0, **{word[0].lower() + word[1:]: deflate[name] for name, word in words.items()}}


Server = Callable[[Options], AbstractAsyncContextManager[Foreign]]

SERVERS: dict[str, Server] = {"websockets": websockets_server, "aiohttp": aiohttp_server, "ws": node_server}
