"""aiohttp: its web server's WebSocket response."""

import asyncio

import probe
import settings
import uvloop
from aiohttp import WSMessage, WSMsgType, web

subscribers: set[web.WebSocketResponse] = set()


async def upgrade(request: web.Request) -> web.WebSocketResponse:
    ws = web.WebSocketResponse(compress=False, max_msg_size=settings.MESSAGE_LIMIT)
    await ws.prepare(request)
    return ws


async def send(ws: web.WebSocketResponse, message: WSMessage) -> None:
    if message.type is WSMsgType.TEXT:
        await ws.send_str(message.data)
    else:
        await ws.send_bytes(message.data)


async def echo(request: web.Request) -> web.WebSocketResponse:
    ws = await upgrade(request)
    async for message in ws:
        await send(ws, message)
    return ws


async def broadcast(request: web.Request) -> web.WebSocketResponse:
    ws = await upgrade(request)
    subscribers.add(ws)
    try:
        async for message in ws:
            for subscriber in list(subscribers):
                await send(subscriber, message)
    finally:
        subscribers.discard(ws)
    return ws


async def main() -> None:
    app = web.Application()
    app.router.add_get("/echo", echo)
    app.router.add_get("/broadcast", broadcast)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(
        runner, settings.HOST, settings.port(), ssl_context=settings.tls_context(), backlog=settings.BACKLOG
    )
    await site.start()
    probe.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
