"""Everwire: ``--style callback`` or ``--style async``, its two styles."""

from traffic import MESSAGE_LIMIT, Converse, Flight, Traffic, fly

import everwire


def prepare(traffic: Traffic) -> Converse:
    message, depth = traffic.message, traffic.options.depth

    def connect() -> everwire.connect:
        return everwire.connect(traffic.url, compression=None, max_size=MESSAGE_LIMIT)

    async def callback(flight: Flight) -> None:
        landed = flight.landed

        def echo(ws: everwire.Connection, answer: str | bytes) -> None:
            if landed(answer):
                ws.send_nowait(message)

        async with connect() as ws:
            ws.on_message = echo
            await flight.departure()
            for _ in range(depth):
                ws.send_nowait(message)
            await ws.wait_closed()

    async def iterate(flight: Flight) -> None:
        async with connect() as ws:
            await flight.departure()
            for _ in range(depth):
                await ws.send(message)
            async for answer in ws:
                if flight.landed(answer):
                    await ws.send(message)

    return callback if traffic.options.style == "callback" else iterate


if __name__ == "__main__":
    fly(prepare)
