"""The engine's account of memory against what the system says that the process has."""

from __future__ import annotations

import asyncio
import contextlib
import selectors
import socket
import sys

import pytest
from peer.frames import BINARY, TEXT, encode
from peer.resident import serving
from peer.timing import MS

KIB = 1024
MIB = 1024 * KIB


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
                client.sendall(encode(TEXT, text))
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
