"""Clients that are not ours, under one face."""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import aiohttp
import pytest
import websockets.asyncio.client as websockets
from peer.certificates import authority, client_context
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from .remote import HERE, NODE, Remote, decode, need_node, remote
from .servers import MAX_SIZE, Options, node_options

__all__ = ["CLIENTS", "JAVA", "Client", "Connect"]


class Client(Protocol):
    """What every client can do.

    Attributes:
        subprotocol: what was agreed, or "".
        extensions: what the server answered about extensions, as far as the client tells.
    """

    subprotocol: str
    extensions: str

    async def send(self, message: str | bytes) -> None:
        """Send a message."""

    async def send_parts(self, parts: Sequence[bytes], text: bool) -> None:
        """Send a message in fragments, which may cut characters."""

    async def receive(self) -> str | bytes:
        """Receive a message."""

    async def ping(self, payload: bytes) -> None:
        """Send a ping, and wait for its pong; no messages come meanwhile."""

    async def close(self, code: int, reason: str) -> None:
        """Begin the closing handshake."""

    async def closed(self) -> tuple[int, str]:
        """Wait for the end; the code and reason as the client sees them."""


class _Websockets:
    def __init__(self, connection: websockets.ClientConnection) -> None:
        assert connection.response is not None
        self._connection = connection
        self.subprotocol = connection.subprotocol or ""
        self.extensions = connection.response.headers.get("Sec-WebSocket-Extensions", "")

    async def send(self, message: str | bytes) -> None:
        await self._connection.send(message)

    async def send_parts(self, parts: Sequence[bytes], text: bool) -> None:
        await self._connection.send(parts, text=text)

    async def receive(self) -> str | bytes:
        return await self._connection.recv()

    async def ping(self, payload: bytes) -> None:
        await (await self._connection.ping(payload))

    async def close(self, code: int, reason: str) -> None:
        await self._connection.close(code, reason)

    async def closed(self) -> tuple[int, str]:
        with contextlib.suppress(ConnectionClosed):
            await self._connection.recv()
            pytest.fail("a message came instead of the end")
        await self._connection.wait_closed()
        assert self._connection.close_code is not None
        return self._connection.close_code, self._connection.close_reason or ""


@contextlib.asynccontextmanager
async def websockets_client(url: str, options: Options) -> AsyncIterator[Client]:
    """Python's ``websockets``."""
    deflate = None if options.deflate is None else [ClientPerMessageDeflateFactory(**options.deflate)]
    arguments: dict[str, Any] = {
        "compression": None,
        "extensions": deflate,
        "subprotocols": list(options.protocols) or None,
        "max_size": MAX_SIZE,
    }
    if options.tls:
        arguments["ssl"] = client_context()
    if options.unix is not None:
        connecting = websockets.unix_connect(str(options.unix), url, **arguments)
    else:
        connecting = websockets.connect(url, **arguments)
    async with connecting as connection:
        yield _Websockets(connection)


class _Aiohttp:
    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self.subprotocol = socket.protocol or ""
        self.extensions = "permessage-deflate" if socket.compress else ""
        self._reason = ""

    async def send(self, message: str | bytes) -> None:
        await (self._socket.send_str(message) if isinstance(message, str) else self._socket.send_bytes(message))

    async def send_parts(self, parts: Sequence[bytes], text: bool) -> None:
        pytest.fail("aiohttp sends no fragments")

    async def receive(self) -> str | bytes:
        message = await self._socket.receive()
        assert message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY), message
        data: str | bytes = message.data
        return data

    async def ping(self, payload: bytes) -> None:
        await self._socket.ping(payload)
        message = await self._socket.receive()
        assert (message.type, bytes(message.data)) == (aiohttp.WSMsgType.PONG, payload)

    async def close(self, code: int, reason: str) -> None:
        await self._socket.close(code=code, message=reason.encode())

    async def closed(self) -> tuple[int, str]:
        while not self._socket.closed:
            message = await self._socket.receive()
            if message.type == aiohttp.WSMsgType.PING:
                await self._socket.pong(message.data)
            elif message.type == aiohttp.WSMsgType.CLOSE:
                self._reason = message.extra or ""
                await self._socket.close()
        assert self._socket.close_code is not None
        return self._socket.close_code, self._reason


@contextlib.asynccontextmanager
async def aiohttp_client(url: str, options: Options) -> AsyncIterator[Client]:
    """Python's ``aiohttp``, which sends no fragments."""
    connector = None if options.unix is None else aiohttp.UnixConnector(str(options.unix))
    arguments: dict[str, Any] = {"compress": 0 if options.deflate is None else 15, "max_msg_size": MAX_SIZE}
    if options.tls:
        arguments["ssl"] = client_context()
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.ws_connect(url, protocols=options.protocols, autoping=False, autoclose=False, **arguments) as socket,
    ):
        yield _Aiohttp(socket)


class _Remote:
    def __init__(self, program: Remote, subprotocol: str, extensions: str) -> None:
        self._program = program
        self.subprotocol = subprotocol
        self.extensions = extensions

    async def send(self, message: str | bytes) -> None:
        if isinstance(message, str):
            await self._program.say("text", message.encode())
        else:
            await self._program.say("binary", message)

    async def send_parts(self, parts: Sequence[bytes], text: bool) -> None:
        for number, part in enumerate(parts, 1):
            await self._program.say("part", "text" if text else "binary", part, int(number == len(parts)))

    async def receive(self) -> str | bytes:
        kind, data = await self._program.hear()
        assert kind in ("text", "binary"), decode(data)
        return decode(data).decode() if kind == "text" else decode(data)

    async def ping(self, payload: bytes) -> None:
        await self._program.say("ping", payload)
        kind, data = await self._program.hear()
        assert (kind, decode(data)) == ("pong", payload)

    async def close(self, code: int, reason: str) -> None:
        await self._program.say("close", code, reason.encode())

    async def closed(self) -> tuple[int, str]:
        kind, code, *reason = await self._program.hear()
        assert kind == "closed", decode(code)
        return int(code), decode(reason[0]).decode()


async def _opened(program: Remote) -> _Remote:
    event, *words = await program.hear()
    if event == "failed":
        raise ConnectionError(decode(words[0]).decode())
    subprotocol, extensions = (decode(word).decode() for word in words)
    return _Remote(program, subprotocol, extensions)


@contextlib.asynccontextmanager
async def node_client(url: str, options: Options) -> AsyncIterator[Client]:
    """Node's ``ws``."""
    arguments: dict[str, Any] = {"deflate": node_options(options.deflate), "protocols": options.protocols}
    if options.tls:
        arguments["ca"] = str(_authority(options))
    if options.unix is not None:
        url = f"ws+unix://{options.unix}:/{url.split('/', 3)[3]}"
    node = need_node()
    async with remote(node, NODE / "client.cjs", url, json.dumps(arguments)) as program:
        yield await _opened(program)


JAVA = pytest.mark.skipif(shutil.which("javac") is None, reason="there is no JDK, and nothing else needs one")


@contextlib.asynccontextmanager
async def java_client(url: str, options: Options) -> AsyncIterator[Client]:
    """Java's own, which knows no compression and no Unix sockets."""
    trusted = _authority(options) if options.tls else "-"
    # A program that says little starts soonest with the simplest compiler.
    java = ["java", "-XX:TieredStopAtLevel=1", "-cp", _java_classes(), "Client"]
    async with remote(*java, url, trusted, *options.protocols) as program:
        yield await _opened(program)


@functools.cache
def _java_classes() -> str:
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    subprocess.run(["javac", "-d", folder.name, HERE / "java" / "Client.java"], check=True)
    return folder.name


def _authority(options: Options) -> Any:
    path = options.folder / "authority.pem"
    path.write_bytes(authority().pem)
    return path


Connect = Callable[[str, Options], AbstractAsyncContextManager[Client]]

CLIENTS: Mapping[str, Connect] = {
    "websockets": websockets_client,
    "aiohttp": aiohttp_client,
    "ws": node_client,
    "java": java_client,
}
