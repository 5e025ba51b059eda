"""A program that connects and closes again and again, and prints what it holds after each lap, in JSON.

Usage: cycles.py asyncio|uvloop plain|core|outside iteration|callback LAPS CYCLES
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import tempfile
import tracemalloc
from pathlib import Path

import psutil

import everwire
from everwire import _core

LOOP, KIND, STYLE = sys.argv[1:4]
LAPS, CYCLES = map(int, sys.argv[4:])


async def echo(connection):
    async for message in connection:
        await connection.send(message)


def echo_by_callback(connection):
    connection.on_message = everwire.ServerConnection.send_nowait


def tls():
    """What the server and its clients take for ``ssl``."""
    if KIND == "plain":
        return None, None
    from peer.certificates import authority, client_context, identity, server_context

    if KIND == "core":
        return everwire.TLS(identity().certificate, identity().key), everwire.TLS(trust=authority().pem)
    return server_context(Path(tempfile.mkdtemp())), client_context()


async def cycle(number, url, trust):
    """One connection, with one of several ends."""
    connection = await everwire.connect(url, ssl=trust)
    await connection.send("x" * (number % 1000))
    await connection.recv()
    match number % 4:
        case 0:
            await connection.close()
        case 1:
            connection.abort()
            await connection.wait_closed()
        case 2:
            await (await connection.ping())
            await connection.close(4000, "with a reason")
        case 3:
            async with connection:
                connection.attribute = connection  # a cycle


def state():
    """What is held now."""
    gc.collect()
    return {
        "descriptors": len(os.listdir("/proc/self/fd")),
        "objects": len(gc.get_objects()),
        "traced": tracemalloc.get_traced_memory()[0],
        "resident": psutil.Process().memory_info().rss,
        "engine": _core.memory_held(),
        "tasks": len(asyncio.all_tasks()),
    }


async def main():
    certificate, trust = tls()
    handler = echo if STYLE == "iteration" else echo_by_callback
    laps = []
    limits = everwire.Limits(handshakes_per_second=1_000_000)
    async with everwire.serve(handler, "127.0.0.1", 0, ssl=certificate, limits=limits) as server:
        scheme = "ws" if certificate is None else "wss"
        url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        for lap in range(LAPS):
            if lap == 1:
                # The first one makes what is kept.
                tracemalloc.start()
            for number in range(0, CYCLES, 10):
                await asyncio.gather(*(cycle(number + one, url, trust) for one in range(10)))
            while server._shard.connections or server.handlers:
                await asyncio.sleep(0.001)
            laps.append(state())
    print(json.dumps(laps))


if LOOP == "uvloop":
    import uvloop

    make_loop = uvloop.new_event_loop
else:
    make_loop = asyncio.SelectorEventLoop
with asyncio.Runner(loop_factory=make_loop) as runner:
    runner.run(main())
