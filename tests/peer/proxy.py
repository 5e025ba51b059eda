"""A TCP proxy that does to connections what networks do: delays, splits, cuts, resets, goes silent, reads slowly."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Coroutine
from types import TracebackType

__all__ = ["Proxy"]

LINGER_0 = struct.pack("ii", 1, 0)
"""Closing a socket with this option sends a RST instead of a FIN."""


class Proxy:
    """Listens on a free port of loopback and carries bytes to ``upstream``. The attributes may change at any time.

    Attributes:
        delay: seconds for which each piece of data is held back.
        piece: bytes that are passed on at a time, a segment each; ``None`` for as they come.
        is_silent: whether everything is read and thrown away, as if a cable had been pulled.
    """

    def __init__(self, upstream: tuple[str, int], *, delay: float = 0.0, piece: int | None = None) -> None:
        self._upstream = upstream
        self._links: list[tuple[socket.socket, socket.socket]] = []
        self._carriers: set[asyncio.Task[None]] = set()
        self._may_read = asyncio.Event()
        self._may_read.set()
        self.delay = delay
        self.piece = piece
        self.is_silent = False

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listening.getsockname()[1])

    def stop_reading(self) -> None:
        """Read nothing for now: the windows of both ends fill."""
        self._may_read.clear()

    def go_on_reading(self) -> None:
        """Read again."""
        self._may_read.set()

    async def cut(self) -> None:
        """End every connection in both directions, in good order as TCP sees it: a FIN to both ends."""
        await self._end(None)

    async def reset(self) -> None:
        """End every connection with a RST to both ends."""
        await self._end(LINGER_0)

    async def _end(self, linger: bytes | None) -> None:
        carriers = list(self._carriers)
        for carrier in carriers:
            carrier.cancel()
        # The loop must not watch descriptors that are closed already.
        await asyncio.gather(*carriers, return_exceptions=True)
        for link in self._links:
            for end in link:
                if linger is not None:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                else:
                    # What lies unread would make it a RST.
                    with contextlib.suppress(OSError):
                        end.shutdown(socket.SHUT_WR)
                        end.recv(1 << 20)
                end.close()
        self._links.clear()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            near, _ = await loop.sock_accept(self._listening)
            far = socket.socket()
            self._links.append((near, far))
            for end in (near, far):
                end.setblocking(False)
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.sock_connect(far, self._upstream)
            self._spawn(self._carry(near, far))
            self._spawn(self._carry(far, near))

    async def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):
            while True:
                await self._may_read.wait()
                data = await loop.sock_recv(source, 65536)
                # What came while it was told to stop waits here, and nothing more is read.
                await self._may_read.wait()
                if self.is_silent:
                    if not data:
                        return
                    continue
                if self.delay:
                    await asyncio.sleep(self.delay)
                if not data:
                    sink.shutdown(socket.SHUT_WR)
                    return
                step = self.piece or len(data)
                for at in range(0, len(data), step):
                    await loop.sock_sendall(sink, data[at : at + step])

    def _spawn(self, carrying: Coroutine[None, None, None]) -> None:
        carrier = asyncio.ensure_future(carrying)
        self._carriers.add(carrier)
        carrier.add_done_callback(self._carriers.discard)

    async def __aenter__(self) -> Proxy:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.setblocking(False)
        self._accepting = asyncio.ensure_future(self._accept())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._accepting.cancel()
        await asyncio.gather(self._accepting, return_exceptions=True)
        await self._end(None)
        self._listening.close()
