"""aiohttp: its client session's WebSocket."""

from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
from traffic import MESSAGE_LIMIT, Converse, Flight, Traffic, fly


def prepare(traffic: Traffic) -> Converse:
    message, depth = traffic.message, traffic.options.depth

    async def converse(flight: Flight) -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(traffic.url, compress=0, max_msg_size=MESSAGE_LIMIT) as ws,
        ):
            send: Callable[[Any], Awaitable[None]] = ws.send_bytes if traffic.options.binary else ws.send_str
            await flight.departure()
            for _ in range(depth):
                await send(message)
            async for answer in ws:
                if flight.landed(answer.data):
                    await send(message)

    return converse


if __name__ == "__main__":
    fly(prepare)
