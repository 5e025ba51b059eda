"""A server that says exactly what it is told to whoever connects."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ssl
from collections.abc import Awaitable, Callable
from types import TracebackType

from .client import RawClient
from .http import Head

__all__ = ["RawServer", "acceptance", "answer"]

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def acceptance(head: Head) -> str:
    """The value of ``Sec-WebSocket-Accept`` for a request (RFC 6455 §4.2.2)."""
    digest = hashlib.sha1((head["sec-websocket-key"] + GUID).encode()).digest()
    return base64.b64encode(digest).decode()


def answer(
    head: Head, *fields: str, without: tuple[str, ...] = (), line: str = "HTTP/1.1 101 Switching Protocols"
) -> bytes:
    """A good answer to a request, but for what is said: further fields, and names of fields that are left out."""
    usual = ["Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Accept: {acceptance(head)}"]
    kept = [field for field in usual if field.split(":")[0] not in without]
    return "\r\n".join([line, *kept, *fields, "", ""]).encode()


class RawServer:
    """Listens on a free port, with TLS if there is a context; calls ``behavior`` with each client and its request."""

    def __init__(
        self, behavior: Callable[[RawClient, Head], Awaitable[None]], *, tls: ssl.SSLContext | None = None
    ) -> None:
        self._behavior = behavior
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()
        self.failures: list[BaseException] = []

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        host, port = self._server.sockets[0].getsockname()[:2]
        return host, port

    @property
    def url(self) -> str:
        """Where to connect to."""
        return "{}://{}:{}/".format("ws" if self._tls is None else "wss", *self.address)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = RawClient(reader, writer)
        try:
            await self._behavior(client, await client.head())
        except (EOFError, ConnectionError, asyncio.IncompleteReadError):
            pass
        except AssertionError as failure:
            self.failures.append(failure)
        finally:
            writer.transport.abort()

    async def __aenter__(self) -> RawServer:
        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.ensure_future(self._serve(reader, writer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        self._server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=self._tls)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()
        # Up to Python 3.11 that does not wait for transports, which close their sockets in the loop's next iterations.
        for _ in range(3):
            await asyncio.sleep(0)
        if value is None:
            assert not self.failures, self.failures
