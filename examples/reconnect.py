"""A client that stays: sends a reading every second and prints the answers, whatever the network and the server do.

While they are away the newest ten readings wait.

Usage: reconnect.py URL [SECONDS], such as: reconnect.py ws://127.0.0.1:8765/
"""

import asyncio
import contextlib
import itertools
import sys

from everwire import LinkStatus, ReconnectingWebSocket


def show(status: LinkStatus) -> None:
    if status.state == "waiting":
        print(f"waiting {status.delay:.1f} s: {status.error}", flush=True)
    else:
        print(status.state, flush=True)


async def measure(ws: ReconnectingWebSocket, seconds: float) -> None:
    for number in itertools.count(1):
        await ws.send(f"reading {number}")
        await asyncio.sleep(seconds)


async def main(url: str, seconds: float) -> None:
    async with ReconnectingWebSocket(url, on_state=show, queue_messages=10, overflow="oldest") as ws:
        measuring = asyncio.create_task(measure(ws, seconds))
        try:
            async for message in ws:
                print(message, flush=True)
        finally:
            measuring.cancel()


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(sys.argv[1], *map(float, sys.argv[2:] or ["1"])))
