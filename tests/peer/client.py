"""A client that says exactly what it is told, over a stream."""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
from types import TracebackType
from typing import Any

from . import frames
from .frames import Frame
from .http import Head, read_head
from .timing import MS

__all__ = ["KEY", "STAYS_AFTER_GOODBYE", "RawClient", "request"]

STAYS_AFTER_GOODBYE = sys.version_info >= (3, 12)
"""Whether a client with TLS can still send, and be there, when the server has said goodbye: before 3.12 asyncio hangs up itself."""

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def request(
    target: str = "/",
    *fields: str,
    host: str = "localhost",
    without: tuple[str, ...] = (),
    line: str | None = None,
) -> bytes:
    """A good opening handshake, but for what is said: further fields, and names of fields that are left out."""
    usual = [
        f"Host: {host}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {KEY}",
        "Sec-WebSocket-Version: 13",
    ]
    kept = [field for field in usual if field.split(":")[0] not in without]
    return "\r\n".join([line or f"GET {target} HTTP/1.1", *kept, *fields, "", ""]).encode()


class RawClient:
    """A TCP (or TLS, or Unix) connection with a reader of frames."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._received = bytearray()

    @classmethod
    async def connect(
        cls,
        where: tuple[str, int] | str,
        *,
        tls: ssl.SSLContext | None = None,
        receive_buffer: int | None = None,
    ) -> RawClient:
        """Connect; ``receive_buffer`` makes a peer whose window is soon full."""
        loop = asyncio.get_running_loop()
        sock = socket.socket(socket.AF_UNIX if isinstance(where, str) else socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.setblocking(False)
        try:
            await loop.sock_connect(sock, where)
        except BaseException:
            sock.close()
            raise
        limit = receive_buffer or 2**16
        name = "localhost" if tls is not None else None
        reader, writer = await asyncio.open_connection(sock=sock, ssl=tls, server_hostname=name, limit=limit)
        return cls(reader, writer)

    @classmethod
    async def open(cls, where: tuple[str, int] | str, *fields: str, target: str = "/", **options: Any) -> RawClient:
        """Connect and perform the opening handshake."""
        client = await cls.connect(where, **options)
        client.write(request(target, *fields))
        head = await client.head()
        assert head.status == 101, head
        assert head["sec-websocket-accept"] == ACCEPT
        return client

    def write(self, data: bytes) -> None:
        """Say something."""
        self.writer.write(data)

    def send(self, opcode: int, payload: bytes = b"", **options: Any) -> None:
        """Say a masked frame."""
        self.write(frames.encode(opcode, payload, **options))

    async def head(self) -> Head:
        """The next HTTP head."""
        return await asyncio.wait_for(read_head(self.reader), 5000 * MS)

    async def body(self) -> bytes:
        """All that comes until the server hangs up."""
        return await asyncio.wait_for(self.reader.read(-1), 5000 * MS)

    async def text(self, head: Head) -> str:
        """The body that this head announces."""
        return (await asyncio.wait_for(self.reader.readexactly(int(head["content-length"])), 5000 * MS)).decode()

    async def frame(self, within: float = 5000 * MS) -> Frame:
        """The next frame."""
        return await asyncio.wait_for(self._frame(), within)

    async def _frame(self) -> Frame:
        while True:
            parsed = frames.parse(self._received)
            if parsed is not None:
                del self._received[: parsed[1]]
                return parsed[0]
            data = await self.reader.read(65536)
            if not data:
                raise EOFError
            self._received += data

    async def closed(self) -> Frame | None:
        """Read to the end of the connection: the close frame, if one came."""
        found = None
        while True:
            try:
                frame = await self.frame()
            except (EOFError, ConnectionError):
                return found
            if frame.opcode == frames.CLOSE:
                assert found is None, "two close frames"
                found = frame

    def reset(self) -> None:
        """Hang up without a word: the server sees a reset."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        self.writer.transport.abort()

    async def __aenter__(self) -> RawClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.writer.transport.abort()
        # The transport closes its socket in the next iteration of the loop.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
