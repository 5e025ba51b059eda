"""A hop in between that counts: how much was on the wire shows whether, and how, messages were compressed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

__all__ = ["Wiretap", "wiretap"]


class Wiretap:
    """Hands on the bytes of one connection.

    Attributes:
        port: where it listens.
        from_client: bytes that the client has sent.
        from_server: bytes that the server has sent.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self.port = 0
        self.from_client = 0
        self.from_server = 0

    def forget(self) -> None:
        """Count from 0 again."""
        self.from_client = self.from_server = 0

    async def hand_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Join a client with the target until both have said their last."""
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self._target)
        await asyncio.gather(
            self._copy(reader, to_server, "from_client"), self._copy(from_server, writer, "from_server")
        )
        for end in (to_server, writer):
            end.close()
            with contextlib.suppress(ConnectionError):
                await end.wait_closed()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, count: str) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                setattr(self, count, getattr(self, count) + len(data))
                writer.write(data)
                await writer.drain()
        with contextlib.suppress(OSError):
            writer.write_eof()


@contextlib.asynccontextmanager
async def wiretap(target: int) -> AsyncIterator[Wiretap]:
    """Listen on a free port for one client of the server at a port."""
    tap = Wiretap(target)
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await tap.hand_on(reader, writer)
        done.set_result(None)

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        tap.port = server.sockets[0].getsockname()[1]
        yield tap
        await done
