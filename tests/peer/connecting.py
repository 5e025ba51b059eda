"""An HTTP proxy for ``CONNECT`` alone, over TCP or TLS, that can be looked at while it works."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
from types import TracebackType

from .http import Head, read_head

__all__ = ["ConnectProxy"]


class ConnectProxy:
    """Listens on a free port of loopback.

    Attributes:
        asked: the head of every request, as it came.
        open: how many clients there are now.
        is_reading: cleared, it carries nothing to servers: clients that go on sending find it full.
    """

    def __init__(
        self, *, tls: ssl.SSLContext | None = None, credentials: str | None = None, host: str = "127.0.0.1"
    ) -> None:
        self._tls = tls
        self._host = host
        self._credentials = None if credentials is None else base64.b64encode(credentials.encode()).decode()
        self._tasks: set[asyncio.Task[None]] = set()
        self.asked: list[Head] = []
        self.open = 0
        self.is_reading = asyncio.Event()
        self.is_reading.set()

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def url(self, user: str = "", host: str | None = None) -> str:
        """Its URL; ``user`` is ``user:password@``."""
        return f"{'http' if self._tls is None else 'https'}://{user}{host or self._host}:{self.port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            head = await read_head(reader)
            self.asked.append(head)
            given = head.all("proxy-authorization")
            if self._credentials is not None and given != [f"Basic {self._credentials}"]:
                writer.write(
                    b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=x\r\n"
                    b"Content-Length: 9\r\n\r\nwho, you?"
                )
                await writer.drain()
                return
            host, _, port = head.start.split(" ")[1].rpartition(":")
            far_reader, far_writer = await asyncio.open_connection(host.strip("[]"), int(port))
            writer.write(b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n")
            try:
                carrying = [
                    asyncio.ensure_future(self._carry(reader, far_writer, self.is_reading)),
                    asyncio.ensure_future(self._carry(far_reader, writer, None)),
                ]
                try:
                    await asyncio.wait(carrying, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for task in carrying:
                        task.cancel()
                    await asyncio.gather(*carrying, return_exceptions=True)
            finally:
                far_writer.transport.abort()
        except (EOFError, OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open -= 1
            writer.close()

    async def _carry(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, gate: asyncio.Event | None
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                if gate is not None:
                    await gate.wait()
                sink.write(data)
                await sink.drain()

    async def __aenter__(self) -> ConnectProxy:
        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.ensure_future(self._serve(reader, writer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        self._server = await asyncio.start_server(connected, self._host, 0, ssl=self._tls)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()
