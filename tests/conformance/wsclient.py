"""The client that the suite's fuzzing server attacks: connects once for each case, and echoes in one style.

Usage: wsclient.py STYLE URL
"""

import asyncio
import contextlib
import json
import sys

from styles import STYLES, Style

from everwire import ConnectionClosed, connect


async def main(name: str, url: str) -> None:
    """Run every case that the server has, then let it write its report."""
    async with connect(f"{url}/getCaseCount") as connection:
        count = json.loads(await connection.recv())
    for case in range(1, count + 1):
        await run_case(f"{url}/runCase?case={case}&agent={name}", STYLES[name])
    async with connect(f"{url}/updateReports?agent={name}", **STYLES[name].options) as connection:
        await connection.wait_closed()


async def run_case(url: str, style: Style) -> None:
    """Echo until the server, which judges, has had enough."""
    with contextlib.suppress(ConnectionClosed):
        async with connect(url, **style.options) as connection:
            await style.handler(connection)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
