"""Thousands of reconnects leave nothing behind: no object, no descriptor, no memory."""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
from collections.abc import AsyncIterator
from typing import Any

import psutil
import pytest

import everwire
from soak.length import PATIENCE, TIMES

pytestmark = pytest.mark.timeout(PATIENCE)

RECONNECTS, REFUSALS = 3000 * TIMES, 1500 * TIMES
WARM_UP = 500
"""Reconnects or refusals after which caches are full, and the allocator has what it needs."""


class Resources:
    """What this process holds now."""

    def __init__(self) -> None:
        for _ in range(3):
            gc.collect()
        self.objects = len(gc.get_objects())
        self.descriptors = len(os.listdir("/proc/self/fd"))
        self.memory = psutil.Process().memory_info().rss

    def check_against(self, before: Resources) -> None:
        """Hold no more than before, but for noise."""
        assert self.descriptors <= before.descriptors + 2
        assert self.objects <= before.objects + 200
        assert self.memory <= before.memory + 4 * 2**20


class Counting:
    """A server that greets everybody and drops them, and looks when it is time."""

    def __init__(self) -> None:
        self.count = 0
        self.now = 0
        self.most = 0
        self.done = asyncio.Event()
        self.warm: Resources | None = None

    async def handle(self, ws: everwire.ServerConnection) -> None:
        self.count += 1
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await ws.send("hello")
            if self.count == WARM_UP:
                self.warm = Resources()
            if self.count >= RECONNECTS:
                self.done.set()
            # Breaks of both kinds: with a closing handshake, and without.
            if self.count % 2:
                await ws.close(1012)
            else:
                await ws.recv()
                ws.abort()
            await ws.wait_closed()
        finally:
            self.now -= 1


@pytest.fixture
async def counting() -> AsyncIterator[tuple[Counting, str]]:
    counting = Counting()
    async with everwire.serve(counting.handle, "127.0.0.1", 0) as server:
        yield counting, f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    assert counting.most == 1, "there were two connections at once"


def at_once() -> Any:
    return itertools.repeat(0.0)


async def test_thousands_of_reconnects_leave_nothing_behind(counting: tuple[Counting, str]) -> None:
    server, url = counting
    received = 0

    async def receive(ws: everwire.ReconnectingWebSocket) -> None:
        nonlocal received
        async for _ in ws:
            received += 1
            await ws.send("seen")

    states = 0

    async def watch(ws: everwire.ReconnectingWebSocket) -> None:
        nonlocal states
        async for _ in ws.states():
            states += 1

    ws = everwire.ReconnectingWebSocket(url, token=lambda: "token", reconnect_delays=at_once)
    ws.start()
    working = [asyncio.ensure_future(receive(ws)), asyncio.ensure_future(watch(ws))]
    await server.done.wait()
    after = Resources()
    assert server.warm is not None
    after.check_against(server.warm)
    await ws.close()
    await asyncio.gather(*working)
    assert received >= RECONNECTS - 1
    assert states > 2 * RECONNECTS


async def test_thousands_of_rounds_of_the_loop_leave_nothing_behind(counting: tuple[Counting, str]) -> None:
    server, url = counting
    async for ws in everwire.connect(url, reconnect_delays=at_once):
        try:
            async for _ in ws:
                await ws.send("seen")
        except everwire.ConnectionClosedError:
            pass
        if server.done.is_set():
            break
    after = Resources()
    assert server.warm is not None
    after.check_against(server.warm)


async def test_thousands_of_failed_attempts_leave_nothing_behind() -> None:
    refused = 0

    def refuse(ws: everwire.ServerConnection, request: everwire.Request) -> everwire.Response:
        nonlocal refused
        refused += 1
        return ws.respond(503, "later")

    async with everwire.serve(lambda ws: None, "127.0.0.1", 0, process_request=refuse) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        ws = everwire.ReconnectingWebSocket(url, reconnect_delays=at_once)
        ws.start()
        async for _ in ws.states():
            if refused >= WARM_UP:
                break
        warm = Resources()
        async for _ in ws.states():
            if refused >= REFUSALS:
                break
        Resources().check_against(warm)
        await ws.close()
