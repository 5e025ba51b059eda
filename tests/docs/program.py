"""Runs one program of the documentation, which comes on standard input, as a reader would: without changing a line.

Its servers get free ports, and are visited by one client, which says something, in place of serving forever. Its
clients reach the program's own server, or else one that echoes. What handlers raise fails the program.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import sys
import threading
from typing import Any
from urllib.parse import urlsplit

import everwire

PATIENCE = 1.0
"""Seconds that a handler has for an answer; it need not give one."""

ports: dict[int, int] = {}
"""Which port the program asked for, and which it got; one that was free anyway is under its own number."""


async def echo(connection: everwire.Connection) -> None:
    """The server that clients reach."""
    async for message in connection:
        await connection.send(message)


def serve_echo() -> int:
    """Echo in a thread of its own, until the program ends; returns the port."""
    port, ready = [0], threading.Event()

    async def run() -> None:
        async with everwire.serve(echo, "127.0.0.1", 0) as serving:
            port[0] = serving.sockets[0].getsockname()[1]
            ready.set()
            await asyncio.get_running_loop().create_future()

    threading.Thread(target=asyncio.run, args=(run(),), daemon=True).start()
    ready.wait()
    return port[0]


async def visit(serving: everwire.Server) -> None:
    """Be a client that says one thing and listens for an answer."""
    if not serving.sockets:
        return
    name = serving.sockets[0].getsockname()
    opening = everwire.unix_connect(name) if isinstance(name, str) else everwire.connect(f"ws://{name[0]}:{name[1]}/")
    # A server may want TLS, a subprotocol or a password, may be silent or hang up: all of it is the program's affair.
    with contextlib.suppress(OSError, TimeoutError, everwire.HandshakeFailed, everwire.ConnectionClosed):
        async with asyncio.timeout(PATIENCE), opening as connection:
            await connection.send("hello")
            await connection.recv()


def patch(echoing: int) -> None:
    """Put all this between the program and the package."""
    module = importlib.import_module("everwire.server.serve")  # the function has the shorter name
    bind, connect = module.bind, everwire.connect.__init__

    async def bind_anywhere(host: Any, port: int | None, *arguments: Any, **options: Any) -> Any:
        sockets = await bind(host, port if port is None else 0, *arguments, **options)
        if port is not None:
            got = sockets[0].getsockname()[1]
            ports[port or got] = got
        return sockets

    def connect_here(self: everwire.connect, uri: str, **options: Any) -> None:
        url = urlsplit(uri)
        if not options.keys() & {"sock", "path"} and url.port not in ports.values():
            uri = url._replace(netloc=f"127.0.0.1:{ports.get(url.port or 80, echoing)}").geturl()
        connect(self, uri, **options)

    module.bind = bind_anywhere  # type: ignore[attr-defined]
    everwire.connect.__init__ = connect_here  # type: ignore[method-assign]
    everwire.Server.serve_forever = visit  # type: ignore[method-assign]


class Failures(logging.Handler):
    """Remembers that something was logged as an error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += 1
        print(self.format(record), file=sys.stderr)


if __name__ == "__main__":
    failures = Failures()
    for logger in ("everwire", "asyncio"):
        logging.getLogger(logger).addHandler(failures)
    patch(serve_echo())
    exec(compile(sys.stdin.read(), "program", "exec"), {"__name__": "__main__"})
    sys.exit(bool(failures.count))
