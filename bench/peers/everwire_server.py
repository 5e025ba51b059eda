"""Everwire: ``everwire_server.py PORT callback|async``, the two styles of handler."""

import ssl
import sys

import probe
import settings
import uvloop

import everwire

subscribers: set[everwire.Connection] = set()


def callback_handler(ws: everwire.Connection) -> None:
    if is_echo(ws):
        ws.on_message = echo
    else:
        # Everyone stays until the server is stopped, so nobody is ever removed.
        subscribers.add(ws)
        ws.on_message = publish


def is_echo(ws: everwire.Connection) -> bool:
    return ws.request is not None and ws.request.path == "/echo"


def echo(ws: everwire.Connection, message: str | bytes) -> None:
    ws.send_nowait(message)


def publish(_ws: everwire.Connection, message: str | bytes) -> None:
    everwire.broadcast(subscribers, message)


async def async_handler(ws: everwire.Connection) -> None:
    if is_echo(ws):
        async for message in ws:
            await ws.send(message)
        return
    subscribers.add(ws)
    try:
        async for message in ws:
            everwire.broadcast(subscribers, message)
    finally:
        subscribers.discard(ws)


def tls() -> everwire.TLS | ssl.SSLContext | None:
    if not settings.CERTIFICATE:
        return None
    return everwire.TLS(certificate=settings.CERTIFICATE, key=settings.KEY)


async def main() -> None:
    handler = callback_handler if sys.argv[2] == "callback" else async_handler
    async with everwire.serve(handler, settings.HOST, settings.port(), ssl=tls(), compression=None) as server:
        probe.start()
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
