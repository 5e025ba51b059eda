"""What ends a program, wherever it is raised, comes out of the loop; the engine does not keep it."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from peer.timing import MS

PROGRAM = """
import asyncio, os, signal, sys
import everwire

loop_name, kind, where = sys.argv[1:]
KIND = {"KeyboardInterrupt": KeyboardInterrupt, "SystemExit": SystemExit}[kind]
said = []


def end():
    if kind == "KeyboardInterrupt":
        # As a terminal does it. Python raises when the next instruction runs.
        signal.raise_signal(signal.SIGINT)
    raise KIND(7)


def on_message(connection, message):
    end()


async def waits(connection):
    try:
        await connection.recv()
        end()
    finally:
        said.append("the handler has ended")


async def at_once(connection):
    end()


def calls_back(connection):
    connection.on_message = on_message


def plain(connection):
    end()


def hook(connection, request):
    end()


async def slow_hook(connection, request):
    await asyncio.sleep(0)
    end()


def make(server):
    end()


HANDLERS = {"handler": waits, "handler at once": at_once, "callback": calls_back, "plain handler": plain}
HOOKS = {"hook": {"process_request": hook}, "slow hook": {"process_request": slow_hook}}
HOOKS["create_connection"] = {"create_connection": make}


async def main():
    options = {"close_timeout": 0.5, **HOOKS.get(where, {})}
    async with everwire.serve(HANDLERS.get(where, waits), "127.0.0.1", 0, **options) as server:
        url = "ws://127.0.0.1:{}/".format(server.sockets[0].getsockname()[1])
        try:
            async with everwire.connect(url, close_timeout=0.5) as client:
                await client.send("go")
                await client.recv()
        except everwire.ConnectionClosed as closed:
            said.append(f"closed with {closed.code}")


if loop_name == "uvloop":
    import uvloop
    make_loop = uvloop.new_event_loop
else:
    make_loop = asyncio.SelectorEventLoop

try:
    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(main())
finally:
    print(*said, flush=True)
"""

PLACES = ("handler", "handler at once", "callback", "plain handler", "hook", "slow hook", "create_connection")


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("kind", ["KeyboardInterrupt", "SystemExit"])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_the_process_ends_with_the_status_that_was_asked_for(loop, kind, where):
    command = [sys.executable, "-X", "faulthandler", "-c", PROGRAM, loop, kind, where]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30_000 * MS, check=False)
    assert done.returncode == {"KeyboardInterrupt": -signal.SIGINT, "SystemExit": 7}[kind], done.stderr
    assert ("the handler has ended" in done.stdout) == (where == "handler")


INTERRUPTED = """
import asyncio, socket, sys
import everwire

# As by default, but that nobody has to wait for so long.
everwire.Server.close.__kwdefaults__["handler_timeout"] = 0.3
everwire.server.shutdown.CLEANUP = 0.3

loop_name, way, what = sys.argv[1:]


async def sleeps(connection):
    try:
        await asyncio.sleep(3600)
    finally:
        print("the handler has ended", flush=True)


async def swallows(connection):
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        print("cancelled", flush=True)
    await asyncio.sleep(3600)


async def hook(connection, request):
    if what == "hook":
        print("ready", flush=True)
        try:
            await asyncio.sleep(3600)
        finally:
            print("the hook has ended", flush=True)


async def connect(server):
    # A peer that never answers anything.
    peer = socket.create_connection(server.sockets[0].getsockname())
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\\r\\nSec-WebSocket-Version: 13\\r\\n"
    peer.send(f"GET / HTTP/1.1\\r\\nHost: a\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n{key}\\r\\n".encode())
    while what != "hook" and not server.handlers:
        await asyncio.sleep(0.01)
    if what != "hook":
        print("ready", flush=True)
    return peer


async def main():
    serving = everwire.serve(
        swallows if what == "swallows" else sleeps, "127.0.0.1", 0, close_timeout=0.3, process_request=hook
    )
    if way == "bare":
        server = await serving
        peer = await connect(server)
        await asyncio.sleep(3600)
    async with serving as server:
        peer = await connect(server)
        if way == "serve_forever":
            await server.serve_forever()
        await asyncio.sleep(3600)


if loop_name == "uvloop":
    import uvloop
    make_loop = uvloop.new_event_loop
else:
    make_loop = asyncio.SelectorEventLoop

with asyncio.Runner(loop_factory=make_loop) as runner:
    runner.run(main())
"""


WAYS = [(way, what) for way in ("block", "serve_forever", "bare") for what in ("sleeps", "swallows", "hook")]
# A task that swallows the cancellation of asyncio.run() itself is waited for by asyncio.
WAYS.remove(("bare", "swallows"))


@pytest.mark.parametrize(("way", "what"), WAYS)
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_ctrl_c_ends_a_program_whatever_its_handlers_do(loop, way, what):
    command = [sys.executable, "-X", "faulthandler", "-c", INTERRUPTED, loop, way, what]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        try:
            assert program.stdout.readline() == "ready\n"
            program.send_signal(signal.SIGINT)
            said, complaints = program.communicate(timeout=30_000 * MS)
        finally:
            program.kill()
    assert program.returncode == -signal.SIGINT, complaints
    assert {"sleeps": "the handler has ended", "swallows": "cancelled", "hook": "the hook has ended"}[what] in said
