"""A server whose event loop stands still for a while; it prints who is still there, in JSON.

Usage: blocked.py asyncio|uvloop SECONDS

Half of its clients live on its own loop, with heartbeats, and stand still with it. The others live on a loop of another thread, and
send no pings, as browsers: they talk all the time.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import threading
import time
from typing import Any

import everwire

LOOP, SECONDS = sys.argv[1], float(sys.argv[2])
EACH = 10
HEARTBEATS = {"ping_interval": SECONDS / 3, "ping_timeout": SECONDS / 3}
"""Every one of them is missed. After a minute these are the defaults."""
is_blocked, is_over, is_counted, is_finished = (threading.Event() for _ in range(4))


def make_loop() -> asyncio.AbstractEventLoop:
    if LOOP == "uvloop":
        import uvloop

        return uvloop.new_event_loop()
    return asyncio.SelectorEventLoop()


def handle(connection: everwire.ServerConnection) -> None:
    connection.on_message = lambda connection, message: connection.send_nowait(message)


class Records(logging.Handler):
    """What the engine says about it, in texts."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


async def serve(ports: list[int], has_served: threading.Event, outcome: dict[str, Any]) -> None:
    records = Records()
    logging.getLogger("everwire").addHandler(records)
    loop = asyncio.get_running_loop()
    async with everwire.serve(handle, "127.0.0.1", 0, **HEARTBEATS) as server:
        ports.append(server.sockets[0].getsockname()[1])
        clients = [await everwire.connect(f"ws://127.0.0.1:{ports[0]}/", **HEARTBEATS) for _ in range(EACH)]
        has_served.set()
        while len(server.connections) < 2 * EACH:
            await asyncio.sleep(0.01)
        is_blocked.set()
        time.sleep(SECONDS)  # noqa: ASYNC251 - the point
        is_over.set()
        for number, client in enumerate(clients):
            await client.send(str(number))
        outcome["own"] = [await asyncio.wait_for(client.recv(), 10) for client in clients]
        # Whoever is to be given up now would be so within the grace that a late turn gives.
        await asyncio.sleep(2)
        outcome["connections"] = len(server.connections)
        is_counted.set()
        await loop.run_in_executor(None, is_finished.wait, 30)
        for client in clients:
            await client.close()
        outcome["codes"] = [client.close_code for client in clients]
    outcome["texts"] = records.texts


async def talk(port: int, outcome: dict[str, Any]) -> None:
    clients = [await everwire.connect(f"ws://127.0.0.1:{port}/", ping_interval=None) for _ in range(EACH)]
    sent = 0
    await asyncio.get_running_loop().run_in_executor(None, is_blocked.wait, 30)
    while not is_over.is_set():
        for client in clients:
            await client.send(str(sent))
        sent += 1
        await asyncio.sleep(SECONDS / 50)
    echoed = 0
    for client in clients:
        echoed += [await asyncio.wait_for(client.recv(), 10) for _ in range(sent)] == [
            str(number) for number in range(sent)
        ]
    outcome["sent"], outcome["echoed"] = sent, echoed
    await asyncio.get_running_loop().run_in_executor(None, is_counted.wait, 30)
    for client in clients:
        await client.close()


def main() -> None:
    outcome: dict[str, Any] = {}
    ports: list[int] = []
    has_served = threading.Event()

    def run() -> None:
        with asyncio.Runner(loop_factory=make_loop) as runner:
            runner.run(serve(ports, has_served, outcome))

    thread = threading.Thread(target=run)
    thread.start()
    assert has_served.wait(30)
    try:
        with asyncio.Runner(loop_factory=make_loop) as runner:
            runner.run(talk(ports[0], outcome))
    finally:
        is_finished.set()
        thread.join()
    print(json.dumps(outcome))


main()
