"""uvicorn with httptools, websockets-sansio and uvloop, serving a bare ASGI application."""

from collections.abc import Awaitable, Callable
from typing import Any

import probe
import settings
import uvicorn

Event = dict[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]

subscribers: set[Send] = set()


async def app(scope: Event, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    await receive()
    await send({"type": "websocket.accept"})
    if scope["path"] == "/echo":
        while answer := answer_to(await receive()):
            await send(answer)
        return
    subscribers.add(send)
    try:
        while answer := answer_to(await receive()):
            for subscriber in list(subscribers):
                await subscriber(answer)
    finally:
        subscribers.discard(send)


def answer_to(event: Event) -> Event | None:
    """The event that sends a received message, or ``None`` when it was not a message but the end."""
    if event["type"] != "websocket.receive":
        return None
    text = event.get("text")
    if text is not None:
        return {"type": "websocket.send", "text": text}
    return {"type": "websocket.send", "bytes": event["bytes"]}


async def lifespan(receive: Receive, send: Send) -> None:
    await receive()
    probe.start()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


if __name__ == "__main__":
    uvicorn.run(
        app,
        host=settings.HOST,
        port=settings.port(),
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        ws_max_size=settings.MESSAGE_LIMIT,
        ws_per_message_deflate=False,
        backlog=settings.BACKLOG,
        ssl_certfile=settings.CERTIFICATE or None,
        ssl_keyfile=settings.KEY or None,
        log_level="error",
        access_log=False,
    )
