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
