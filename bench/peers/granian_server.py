"""granian with its own interface, RSGI: one worker process on uvloop."""

import asyncio
from pathlib import Path

import probe
import settings
from granian import Granian
from granian._granian import RSGIWebsocketProtocol, RSGIWebsocketTransport
from granian.constants import Interfaces, Loops
from granian.log import LogLevels
from granian.rsgi import Scope, WebsocketMessageType

subscribers: set[RSGIWebsocketTransport] = set()


class Application:
    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.call_soon(probe.start)

    async def __rsgi__(self, scope: Scope, protocol: RSGIWebsocketProtocol) -> None:
        ws = await protocol.accept()
        try:
            if scope.path == "/echo":
                await echo(ws)
            else:
                await broadcast(ws)
        finally:
            protocol.close(None)


async def echo(ws: RSGIWebsocketTransport) -> None:
    while (message := await ws.receive()).kind != WebsocketMessageType.close:
        await send(ws, message.data)


async def broadcast(ws: RSGIWebsocketTransport) -> None:
    subscribers.add(ws)
    try:
        while (message := await ws.receive()).kind != WebsocketMessageType.close:
            for subscriber in list(subscribers):
                await send(subscriber, message.data)
    finally:
        subscribers.discard(ws)


async def send(ws: RSGIWebsocketTransport, payload: str | bytes) -> None:
    if isinstance(payload, str):
        await ws.send_str(payload)
    else:
        await ws.send_bytes(payload)


app = Application()

if __name__ == "__main__":
    Granian(
        "granian_server:app",
        address=settings.HOST,
        port=settings.port(),
        interface=Interfaces.RSGI,
        workers=1,
        loop=Loops.uvloop,
        backlog=settings.BACKLOG,
        log_level=LogLevels.error,
        log_access=False,
        ssl_cert=Path(settings.CERTIFICATE) if settings.CERTIFICATE else None,
        ssl_key=Path(settings.KEY) if settings.KEY else None,
    ).serve()
