"""The server that the suite's fuzzing client attacks: echoes in one style, and prints its URL when it is ready.

It ends when its standard input does.
"""

import asyncio
import sys

from styles import STYLES

from everwire import serve


async def main(name: str) -> None:
    """Echo until standard input ends."""
    style = STYLES[name]
    async with serve(style.handler, "127.0.0.1", 0, origins="*", **style.options) as server:
        print(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
