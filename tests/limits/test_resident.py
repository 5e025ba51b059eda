"""The engine's account of memory against what the system says that the process has."""

from __future__ import annotations

import asyncio
import contextlib
import json
import selectors
import socket
import sys
import textwrap
from collections.abc import AsyncIterator

import psutil
import pytest
from peer.client import request
from peer.frames import BINARY, encode
from peer.timing import MS

KIB = 1024
MIB = 1024 * KIB

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


class Process:
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
async def serving(limits: dict[str, int]) -> AsyncIterator[Process]:
    command = [sys.executable, "-c", textwrap.dedent(PROGRAM), json.dumps(limits)]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
    assert process.stdout is not None
    try:
        yield Process(process, int(await process.stdout.readline()))
    finally:
        process.kill()
        await process.wait()


async def test_messages_that_nobody_takes_are_charged_and_the_cap_holds():
    """Each of 150 connections may leave a message of a megabyte waiting; the cap is far below all of them."""
    async with serving({"memory": 32 * MIB}) as server:
        with contextlib.ExitStack() as clients:
            messages = memoryview(encode(BINARY, bytes(60 * KIB)) * 70)
            flood = {clients.enter_context(contextlib.closing(server.open())): messages for _ in range(150)}
            _, before, _ = await server.ask()
            peak = 0
            # Reading stops, and after a second those who hold the most are closed.
            for _ in range(30):
                for client, left in flood.items():
                    with contextlib.suppress(OSError):
                        flood[client] = left[client.send(left) :]
                held, resident, _ = await server.ask()
                peak = max(peak, resident - before)
                assert held <= 33 * MIB
                await asyncio.sleep(50 * MS)
            assert 24 * MIB <= peak <= 32 * MIB + 16 * MIB


@pytest.mark.parametrize("text", [b"a" * 100_000, "é".encode() * 50_000, b"a" * 99_996 + "🙂".encode()])
async def test_a_text_is_charged_with_what_its_characters_take(text):
    """One, two or four bytes each, as the widest of them needs."""
    async with serving({"memory": 1024 * MIB, "queue_bytes": 8 * MIB, "queue_messages": 1000}) as server:
        with contextlib.ExitStack() as clients:
            client = clients.enter_context(contextlib.closing(server.open()))
            client.setblocking(True)
            charged, resident, _ = await server.ask()
            for _ in range(70):
                client.sendall(encode(0x1, text))
            expected = 70 * sys.getsizeof(text.decode())
            while True:
                held, now, _ = await server.ask()
                if held - charged >= expected:
                    break
                await asyncio.sleep(10 * MS)
            assert held - charged <= expected + MIB
            assert now - resident <= expected + 4 * MIB


async def test_a_megabyte_to_1200_clients_is_held_once_and_nobody_is_closed():
    async with serving({"connections_per_address": 2000}) as server:
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(contextlib.closing(server.open())) for _ in range(1200)]
            charged, before, connections = await server.ask()
            assert connections == 1200
            held, resident, _ = await server.ask(1_000_000)
            assert 1_000_000 <= held - charged <= 2 * MIB
            assert resident - before <= 8 * MIB
            await asyncio.to_thread(drain, clients, 1_000_010)
            held, _, connections = await server.ask()
            assert connections == 1200
            assert held - charged <= 64 * KIB


def drain(clients: list[socket.socket], size: int) -> None:
    """Read that much from every client."""
    left = dict.fromkeys(clients, size)
    with selectors.DefaultSelector() as selector:
        for client in clients:
            selector.register(client, selectors.EVENT_READ)
        while left:
            for key, _ in selector.select(10):
                client = key.fileobj
                data = client.recv(MIB)
                assert data, "closed"
                left[client] -= len(data)
                if not left[client]:
                    del left[client]
                    selector.unregister(client)
