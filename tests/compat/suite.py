"""Runs a part of the test suite of `websockets` against Everwire: a program of its own, because it takes over the name.

``python suite.py TREE PART [TEST...]`` prints a JSON object: for each test ``"ok"``, ``"skipped"``, or the last line of what went
wrong. The tree is a checkout of that package. Parts:

==============  ====================================================================================================
``names``       ``import websockets`` finds the modules of ``everwire.compat.websockets``: both sides are Everwire
``connection``  the tests of one connection: Everwire on one side, the real package on the other, over a socket pair
==============  ====================================================================================================
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import importlib
import importlib.util
import json
import pkgutil
import socket
import sys
import traceback
import types
import unittest
from pathlib import Path
from typing import Any

import everwire
import everwire.compat.websockets as facade
from everwire.compat.websockets import proxy as facade_proxy
from everwire.compat.websockets.asyncio import client as facade_client
from everwire.compat.websockets.asyncio import server as facade_server

MODULES = {
    "names": [
        "tests.asyncio.test_client",
        "tests.asyncio.test_router",
        "tests.asyncio.test_server",
        "tests.test_datastructures",
        "tests.test_exceptions",
        "tests.test_proxy",
        "tests.test_uri",
    ],
    "connection": ["tests.asyncio.test_connection"],
}


class Outcomes(unittest.TestResult):
    """Remembers how each test went, in a line."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: dict[str, str] = {}

    @staticmethod
    def name(test: Any) -> str:
        """A test's module, class and name."""
        return ".".join(str(test.id()).split(".")[-3:])

    def addSuccess(self, test: unittest.TestCase) -> None:  # noqa: N802
        self.lines.setdefault(self.name(test), "ok")

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:  # noqa: N802
        self.lines[self.name(test)] = "skipped"

    def addError(self, test: unittest.TestCase, err: Any) -> None:  # noqa: N802
        self._failed(test, err)

    addFailure = addError

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: Any) -> None:  # noqa: N802
        if err is not None:
            self._failed(test, err)

    def _failed(self, test: unittest.TestCase, err: Any) -> None:
        self.lines[self.name(test)] = " ".join(traceback.format_exception_only(*err[:2])[0].split())[:200]


# Under the other package's names


def take_over_names() -> None:
    """Make ``import websockets`` find the facade, and give the tests what they use of that package's inside."""
    sys.modules["websockets"] = facade
    for found in pkgutil.walk_packages(facade.__path__, facade.__name__ + "."):
        module = importlib.import_module(found.name)
        sys.modules[found.name.removeprefix("everwire.compat.")] = module
    inside: dict[str, dict[str, Any]] = {
        "asyncio.compatibility": {"TimeoutError": TimeoutError, "asyncio_timeout": asyncio.timeout},
        "extensions.permessage_deflate": {"PerMessageDeflate": PerMessageDeflate},
        "proxy": {"prepare_connect_request": lambda *_: b""},
        # Version 15 had them there.
        "uri": {name: getattr(facade_proxy, name) for name in facade_proxy.__all__},
        "version": {"released": True},
    }
    for name, values in inside.items():
        module = sys.modules.setdefault(f"websockets.{name}", types.ModuleType(name))
        for attribute, value in values.items():
            setattr(module, attribute, value)
    for kind in (facade_server.ServerConnection, facade_client.ClientConnection):
        kind.protocol = property(Protocol)  # type: ignore[attr-defined]
    everwire.Server.server = property(lambda server: types.SimpleNamespace(_ssl_context=server._tls))  # type: ignore[attr-defined]


class PerMessageDeflate:
    """Stands for the extension that was agreed on."""


class Protocol:
    """What the tests look at of ``connection.protocol``."""

    def __init__(self, connection: everwire.Connection) -> None:
        self.state = connection.state
        request, response = connection.request, connection.response
        is_compressed = response is not None and "Sec-WebSocket-Extensions" in response.headers
        self.extensions = [PerMessageDeflate()] if is_compressed else []
        self.uri = None if request is None else types.SimpleNamespace(path=request.path)


# One connection against the real package


def against_the_real_package(module: types.ModuleType) -> None:
    """Put Everwire on one side of the socket pair that each test of this module makes."""
    real = importlib.import_module("websockets.asyncio.connection")
    for name in dir(module):
        if isinstance(getattr(module, name), type) and issubclass(getattr(module, name), Exception):
            setattr(module, name, getattr(facade.exceptions, name, getattr(module, name)))
    module.broadcast = everwire.broadcast  # type: ignore[attr-defined]
    for name, value in {"State": everwire.State, "OPEN": everwire.State.OPEN, "CLOSED": everwire.State.CLOSED}.items():
        setattr(module, name, value)
    cases = module.ClientConnectionTests
    recording, intercepting = module.RecordingProtocol, module.InterceptingConnection

    async def set_up(self: Any) -> None:
        self.loop = asyncio.get_running_loop()
        self.ending = asyncio.Event()
        open_ours = connected if self.LOCAL.name == "CLIENT" else accepted
        self.connection, theirs = await open_ours(self, 2 * module.MS)
        self.transport = self.connection.transport
        self.remote_transport, self.remote_connection = await self.loop.create_connection(
            lambda: intercepting(recording(self.REMOTE)), sock=theirs
        )

    async def tear_down(self: Any) -> None:
        await self.remote_connection.close()
        await self.connection.close()
        self.ending.set()

    async def frames_sent(self: Any, frames: list[Any]) -> None:
        received: list[Any] = []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(module.MS):
                while len(received) < len(frames):
                    await asyncio.sleep(0)
                    received += self.remote_connection.protocol.get_frames_rcvd()
        assert received == frames

    cases.asyncSetUp = set_up
    cases.asyncTearDown = tear_down
    cases.assertFramesSent = frames_sent
    cases.assertFrameSent = lambda self, frame: frames_sent(self, [frame])
    assert issubclass(intercepting, real.Connection)


async def connected(test: Any, close_timeout: float) -> tuple[everwire.Connection, socket.socket]:
    """A client of Everwire's, and the socket of the other side, whose handshake is by hand."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    options = {"compression": None, "close_timeout": close_timeout, "ping_interval": None}
    opening = asyncio.ensure_future(facade_client.connect("ws://localhost/", sock=ours, **options)._open())
    head = await read_head(theirs)
    key = next(line[18:].strip() for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key:"))
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    await asyncio.get_running_loop().sock_sendall(theirs, answer + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
    return await opening, theirs


async def accepted(test: Any, close_timeout: float) -> tuple[everwire.Connection, socket.socket]:
    """A connection of a server of Everwire's, and the socket of the other side, whose handshake is by hand."""
    loop = asyncio.get_running_loop()
    made: asyncio.Future[everwire.Connection] = loop.create_future()

    async def handler(connection: everwire.Connection) -> None:
        made.set_result(connection)
        await test.ending.wait()

    options = {"compression": None, "close_timeout": close_timeout, "ping_interval": None}
    server = await facade_server.serve(handler, "127.0.0.1", 0, **options)
    theirs = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    theirs.setblocking(False)
    await loop.sock_connect(theirs, server.sockets[0].getsockname())
    request = b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    key = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    await loop.sock_sendall(theirs, request + key)
    await read_head(theirs)
    connection = await made
    server.close(close_connections=False)
    test.addAsyncCleanup(server.wait_closed)
    return connection, theirs


async def read_head(sock: socket.socket) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += await asyncio.get_running_loop().sock_recv(sock, 1)
    return head


def main(tree: Path, part: str, only: list[str]) -> None:
    """Run all tests of a part, or some."""
    sys.path.insert(0, str(tree))
    if part == "names":
        take_over_names()
    else:
        sys.path.insert(0, str(tree / "src"))
    chosen = unittest.TestSuite()
    for name in MODULES[part]:
        if importlib.util.find_spec(name) is None:  # not every version has all of them
            continue
        module = importlib.import_module(name)
        if part == "connection":
            against_the_real_package(module)
        for case in unittest.defaultTestLoader.loadTestsFromModule(module):
            chosen.addTests(test for test in case if not only or Outcomes.name(test) in only)  # type: ignore[union-attr]
    outcomes = Outcomes()
    chosen.run(outcomes)
    json.dump(outcomes.lines, sys.stdout, indent=1, sort_keys=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
