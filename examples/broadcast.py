"""A ticker: one task publishes, everybody who is connected gets it. The message is encoded once, however many they are.

Usage: broadcast.py [PORT [SECONDS]]
"""

import asyncio
import contextlib
import json
import random
import sys

from everwire import Server, ServerConnection, broadcast, serve


async def listen(ws: ServerConnection) -> None:
    await ws.wait_closed()


async def publish(server: Server, interval: float) -> None:
    price = 100.0
    while True:
        price += random.gauss(0, 0.5)
        # Never waits: whoever does not read misses ticks, and keeps nobody waiting.
        broadcast(server.connections, json.dumps({"price": round(price, 2), "people": len(server.connections)}))
        await asyncio.sleep(interval)


async def main(port: float = 8765, interval: float = 1.0) -> None:
    async with serve(listen, "127.0.0.1", int(port)) as server:
        host, port = server.sockets[0].getsockname()
        print(f"ws://{host}:{port}/", flush=True)
        await publish(server, interval)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(*map(float, sys.argv[1:])))
