"""A client: sends its arguments, one message each, and prints an answer to each.

Usage: client.py URL MESSAGE...
"""

import asyncio
import sys

from everwire import ConnectionClosed, HandshakeFailed, connect


async def main(url: str, *messages: str) -> None:
    async with connect(url) as ws:
        for message in messages:
            await ws.send(message)
            print(await ws.recv())


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    try:
        asyncio.run(main(*sys.argv[1:]))
    except (ConnectionClosed, HandshakeFailed, OSError) as error:
        sys.exit(f"{sys.argv[1]}: {error}")
    except KeyboardInterrupt:
        pass
