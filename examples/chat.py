"""A chat: whatever somebody says is shown to everybody.

Run it, and open the address that it prints in several tabs. The page, chat.html, comes from the port that the WebSocket
has too: ``process_request`` answers whoever does not ask for an upgrade.
"""

import argparse
import asyncio
import contextlib
import errno
import json
import socket
from pathlib import Path

from everwire import Headers, Request, Response, ServerConnection, broadcast, serve

PAGE = Path(__file__).with_name("chat.html")

room: set[ServerConnection] = set()


async def chat(ws: ServerConnection) -> None:
    name = ws.request.query.get("name", "").strip()[:24] or "Somebody"
    room.add(ws)
    await ws.send(json.dumps({"kind": "welcome", "id": str(ws.id)}))
    tell("joined", ws, name=name)
    try:
        async for text in ws:
            if not isinstance(text, str):
                return await ws.close(1003, "this chat is about text")
            tell("line", ws, name=name, text=text)
    finally:
        room.discard(ws)
        tell("left", ws, name=name)


def tell(kind: str, ws: ServerConnection, **more: str) -> None:
    broadcast(room, json.dumps({"kind": kind, "id": str(ws.id), "people": len(room), **more}))


def page(ws: ServerConnection, request: Request) -> Response | None:
    if "Upgrade" in request.headers:
        return None
    if request.path != "/":
        return ws.respond(404, "The chat is at /\n")
    return Response(200, "OK", Headers({"Content-Type": "text/html; charset=utf-8"}), PAGE.read_bytes())


def bind(port: int) -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        return socket.create_server(("127.0.0.1", 0))


async def main() -> None:
    parser = argparse.ArgumentParser(description="A chat for several tabs.")
    parser.add_argument("--port", type=int, default=8000, help="default: 8000, or a free one if it is taken")
    listening = bind(parser.parse_args().port)
    async with serve(chat, sock=listening, process_request=page, max_size=8192) as server:
        host, port = server.sockets[0].getsockname()
        print(f"http://{host}:{port}/", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
