"""websockets: its asyncio client; ``--style picows`` is the same program with what picows offers in its place."""

import sys

from traffic import MESSAGE_LIMIT, Converse, Flight, Traffic, fly

if "picows" in sys.argv:
    from picows.websockets.asyncio.client import connect
else:
    from websockets.asyncio.client import connect


def prepare(traffic: Traffic) -> Converse:
    message, depth = traffic.message, traffic.options.depth

    async def converse(flight: Flight) -> None:
        async with connect(traffic.url, compression=None, max_size=MESSAGE_LIMIT) as ws:
            await flight.departure()
            for _ in range(depth):
                await ws.send(message)
            async for answer in ws:
                if flight.landed(answer):
                    await ws.send(message)

    return converse


if __name__ == "__main__":
    fly(prepare)
