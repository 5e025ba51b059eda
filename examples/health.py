"""A health check on the same port: ``process_request`` answers it, no connection is opened, and nothing is logged.

Usage: health.py [PORT], then: curl -i http://127.0.0.1:8765/health
"""

import asyncio
import contextlib
import http
import sys

from everwire import Request, Response, ServerConnection, serve


async def echo(ws: ServerConnection) -> None:
    async for message in ws:
        await ws.send(message)


def health(ws: ServerConnection, request: Request) -> Response | None:
    if request.path == "/health":
        return ws.respond(http.HTTPStatus.OK, f"ok, {len(ws.server.connections)} connections\n")
    return None  # whatever else comes is a WebSocket handshake, or refused as none


async def main(port: int = 8765) -> None:
    async with serve(echo, "127.0.0.1", port, process_request=health) as server:
        host, port = server.sockets[0].getsockname()
        print(f"http://{host}:{port}/health", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(*map(int, sys.argv[1:])))
