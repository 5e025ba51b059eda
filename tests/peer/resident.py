"""A server in a process of its own, whose memory is looked at from outside."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
import textwrap
from collections.abc import AsyncIterator

import psutil

from .client import request
from .timing import MS

__all__ = ["Resident", "serving"]

KIB = 1024

PROGRAM = """
import asyncio, json, socket, sys
import everwire
from everwire import _core


async def idle(connection):
    await connection.wait_closed()


async def commands():
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async for line in reader:
        yield json.loads(line)


def say(value):
    print(json.dumps(value), flush=True)


async def main():
    limits = everwire.Limits(**json.loads(sys.argv[1]))
    listening = socket.create_server(("127.0.0.1", 0), backlog=1000)
    # What the system would buffer for each connection is not what this is about.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024)
    async with everwire.serve(idle, sock=listening, limits=limits, ping_interval=None) as server:
        say(server.sockets[0].getsockname()[1])
        async for size in commands():
            if size:
                everwire.broadcast(server.connections, bytes(size))
            say([_core.memory_held(), len(server.connections)])


asyncio.run(main())
"""


class Resident:
    """A server in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self._process = process
        self.port = port
        self._system = psutil.Process(process.pid)

    async def ask(self, broadcast: int = 0) -> tuple[int, int, int]:
        """What it has charged, what the system says that it has, and how many connections; after a broadcast of so many bytes."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b"%d\n" % broadcast)
        held, connections = json.loads(await asyncio.wait_for(self._process.stdout.readline(), 30_000 * MS))
        return held, self._system.memory_info().rss, connections

    def open(self, receive_buffer: int = 64 * KIB) -> socket.socket:
        """A client whose handshake is done, and that reads nothing more."""
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.connect(("127.0.0.1", self.port))
        client.sendall(request())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += client.recv(1)
        assert head.startswith(b"HTTP/1.1 101 ")
        client.setblocking(False)
        return client


@contextlib.asynccontextmanager
async def serving(limits: dict[str, int]) -> AsyncIterator[Resident]:
    """A server with these limits, whose handlers take nothing."""
    command = [sys.executable, "-c", textwrap.dedent(PROGRAM), json.dumps(limits)]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
    assert process.stdout is not None
    try:
        yield Resident(process, int(await process.stdout.readline()))
    finally:
        process.kill()
        await process.wait()
