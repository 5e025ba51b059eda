"""websockets: its asyncio server."""

import probe
import settings
import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve

subscribers: set[ServerConnection] = set()


async def handler(ws: ServerConnection) -> None:
    if ws.request and ws.request.path == "/echo":
        async for message in ws:
            await ws.send(message)
        return
    subscribers.add(ws)
    try:
        async for message in ws:
            broadcast(subscribers, message)
    finally:
        subscribers.discard(ws)


async def main() -> None:
    async with serve(
        handler,
        settings.HOST,
        settings.port(),
        ssl=settings.tls_context(),
        compression=None,
        max_size=settings.MESSAGE_LIMIT,
        backlog=settings.BACKLOG,
    ) as server:
        probe.start()
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
