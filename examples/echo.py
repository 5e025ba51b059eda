"""The smallest server: every message comes back. Try it with client.py.

Usage: echo.py [PORT]
"""

import asyncio
import contextlib
import sys

from everwire import ServerConnection, serve


async def echo(ws: ServerConnection) -> None:
    async for message in ws:
        await ws.send(message)


async def main(port: int = 8765) -> None:
    async with serve(echo, "127.0.0.1", port) as server:
        host, port = server.sockets[0].getsockname()
        print(f"ws://{host}:{port}/", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(*map(int, sys.argv[1:])))
