"""The callback style: no task and no queue between a message and your function. Sensors report, batches are stored.

While a batch is being stored its sender is paused: nothing more is read from it, and TCP slows it down.

Usage: callbacks.py [PORT]
"""

import asyncio
import contextlib
import sys

from everwire import ServerConnection, serve

BATCH = 100


class Sensor(ServerConnection):
    """A connection that collects what came and is not stored yet."""

    batch: list[str | bytes]


def handler(ws: Sensor) -> None:
    ws.batch = []
    ws.on_message = collect


def collect(ws: Sensor, message: str | bytes) -> None:
    ws.batch.append(message)
    if len(ws.batch) == BATCH:
        ws.pause()
        # In a real program this is what ends the writing to a database.
        asyncio.get_running_loop().call_later(0.01, stored, ws)


def stored(ws: Sensor) -> None:
    if ws.state is ws.state.OPEN:
        ws.send_nowait(f"stored {len(ws.batch)}")
    ws.batch.clear()
    ws.resume()


async def main(port: int = 8765) -> None:
    async with serve(handler, "127.0.0.1", port, create_connection=Sensor) as server:
        host, port = server.sockets[0].getsockname()
        print(f"ws://{host}:{port}/", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(*map(int, sys.argv[1:])))
