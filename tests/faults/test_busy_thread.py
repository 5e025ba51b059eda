"""A thread that computes all the time, beside the event loop: how often a message has to wait for the interpreter."""

from __future__ import annotations

import asyncio
import statistics
import sys
import threading

import pytest
from peer.certificates import authority

import everwire

INTERVAL = 0.1
"""How long Python lets a thread go on while others wait, in seconds: twenty times the default, to be told from a busy machine."""

CLIENT = """
import asyncio, sys, time
import everwire

async def main():
    tls = None if sys.argv[2] == "" else everwire.TLS(trust=sys.argv[2].encode())
    scheme = "ws" if tls is None else "wss"
    async with everwire.connect(f"{scheme}://127.0.0.1:{sys.argv[1]}/", ssl=tls) as connection:
        for _ in range(8):
            # Long enough for what follows an answer, and for the other thread to have the interpreter again.
            await asyncio.sleep(0.15)
            began = time.monotonic()
            await connection.send("x")
            await connection.recv()
            print(time.monotonic() - began)

asyncio.run(main())
"""


async def iterates(connection):
    async for message in connection:
        await connection.send(message)


def calls_back(connection):
    connection.on_message = everwire.ServerConnection.send_nowait


async def measured_waits(server, authority):
    """How long messages wait while a thread computes, in intervals."""
    stop = threading.Event()

    def compute() -> None:
        while not stop.is_set():
            sum(range(1000))

    thread = threading.Thread(target=compute)
    before = sys.getswitchinterval()
    sys.setswitchinterval(INTERVAL)
    thread.start()
    try:
        arguments = (str(server.sockets[0].getsockname()[1]), authority)
        client = await asyncio.create_subprocess_exec(
            sys.executable, "-c", CLIENT, *arguments, stdout=asyncio.subprocess.PIPE
        )
        printed, _ = await client.communicate()
    finally:
        stop.set()
        sys.setswitchinterval(before)
        thread.join()
    assert client.returncode == 0
    return [float(line) / INTERVAL for line in printed.split()]


@pytest.mark.parametrize("handler", [iterates, calls_back])
async def test_a_message_waits_for_the_interpreter_once(wire, handler):
    # The loop sleeps without the GIL, and waits for it when the message wakes it: that is asyncio's. Had the engine let go of the
    # GIL while it reads, answers or writes, the message would wait again each time.
    medians = []
    async with wire.serve(handler) as server:
        # A busy machine makes some of them longer. A second wait for the interpreter would make most of them two intervals long.
        while not medians or min(medians) > 1.4:
            assert len(medians) < 4, medians
            waits = await measured_waits(server, authority().pem.decode() if wire.secure else "")
            assert len(waits) == 8
            medians.append(statistics.median(waits))
