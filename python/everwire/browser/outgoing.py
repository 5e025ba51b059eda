"""What an object of this package still has to send, in order, and how much of it waits.

Sending never waits here: what the engine takes at once goes to it, and the rest lies in a queue that a task empties as fast as
the peer reads. A large message goes in parts, so that little of it is copied; so does a file, which is read when its turn comes.

How much waits is counted in bytes of payload. What the engine holds is known in bytes of frames: without compression the one
follows from the other; with it, a frame's size is what it added to the engine's output.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections import deque
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from ..connection import begin_closing, has_room, is_own, wait_for_room
from ..errors import ConnectionClosed, LimitExceeded
from .message import PIECE, File, is_file, pieces, remaining, size_of

if TYPE_CHECKING:
    from ..client import ClientConnection

__all__ = ["Outgoing", "extensions_of", "send_whole"]

LARGE = 1024 * 1024
"""Bytes above which a message goes in parts."""


@dataclasses.dataclass
class _Item:
    """A message that waits; its size counts down while it goes in parts."""

    content: str | bytes | memoryview | File
    size: int


@dataclasses.dataclass
class _Goodbye:
    """A closing handshake that begins when all before it was sent."""

    code: int | None
    reason: str


class Outgoing:
    """The way out of one connection.

    Args:
        wire: the connection.
        limit: bytes that may wait in memory.

    Attributes:
        broken: why a file could not be sent; the connection is closed then.
    """

    def __init__(self, wire: ClientConnection, limit: int) -> None:
        self.broken: BaseException | None = None
        self._wire = wire
        self._loop = asyncio.get_running_loop()
        self._limit = limit
        # What the engine takes at once has to fit in, whatever the limit is.
        self._large = min(LARGE, limit // 4)
        self._piece = max(1, min(PIECE, limit // 16))
        self._queue: deque[_Item | _Goodbye] = deque()
        self._queued = 0
        self._in_files = 0
        self._dropped = 0
        # What the engine may still hold: bytes of payload and of frames, message by message.
        self._handed: deque[tuple[int, int]] = deque()
        # How much of it waited when somebody last looked: the engine does not tell once the connection is closed.
        self._known = 0
        self._is_compressed = "permessage-deflate" in extensions_of(wire)
        self._frozen: int | None = None
        self._is_over = False
        self._task: asyncio.Task[None] | None = None

    @property
    def amount(self) -> int:
        """Bytes of payload that the system has not taken; it falls only between callbacks of the event loop (WebSockets §3.1)."""
        return self._dropped + self._queued + (self._unsent() if self._frozen is None else self._frozen)

    def send(self, message: str | bytes | memoryview) -> None:
        """Send a message when what was sent before has gone.

        Raises:
            LimitExceeded: more waits already than may; nothing was queued.
        """
        size = size_of(message)
        self._freeze()
        if not self._queue and size <= self._large and self._take(message, size):
            return
        held = self._queued - self._in_files + (self._frozen or 0)
        if held >= self._limit:
            raise LimitExceeded(
                f"the peer does not read, and {held} bytes wait already: look at buffered_amount, or raise limits.output"
            )
        # Whoever sent it may change it before its turn comes.
        content = bytes(message) if isinstance(message, memoryview) else message
        self._enqueue(_Item(content, size))

    def send_file(self, file: File) -> None:
        """Send what a file holds as one message when what was sent before has gone."""
        self._freeze()
        size = remaining(file)
        self._in_files += size
        self._enqueue(_Item(file, size))

    def drop(self, size: int) -> None:
        """Count a message that is not sent because the connection is closing."""
        self._dropped += size

    def close(self, code: int | None, reason: str) -> None:
        """Begin the closing handshake when what was sent before has gone."""
        if self._queue:
            self._queue.append(_Goodbye(code, reason))
        else:
            begin_closing(self._wire, 1005 if code is None else code, reason)

    def end(self, *, everything_left: bool) -> None:
        """Note that the connection is closed: what waits now will wait forever."""
        if self._is_over:
            return
        self._frozen = 0 if everything_left else self._known
        self._is_over = True

    def _take(self, message: str | bytes | memoryview, size: int) -> bool:
        """Give a message to the engine, unless it has enough for now."""
        wire = self._wire
        if not has_room(wire):
            return False
        before = wire.write_buffer_size
        try:
            wire.send_nowait(message)
        except LimitExceeded:
            return False
        except ConnectionClosed:
            self._dropped += size
            return True
        self._note(size, before)
        return True

    def _note(self, size: int, before: int) -> None:
        if self._frozen is not None:
            self._frozen += size
        after = self._wire.write_buffer_size
        if after == 0:
            self._handed.clear()
            self._known = 0
            return
        self._known += size
        on_wire = size + (6 if size < 126 else 8 if size < 65536 else 14)
        self._handed.append((size, max(after - before, 1) if self._is_compressed else on_wire))

    def _unsent(self) -> int:
        waiting = 0 if self._is_over else self._wire.write_buffer_size
        total = kept = 0
        for size, on_wire in reversed(self._handed):
            if waiting <= 0:
                break
            # A frame's payload is behind its head: of a frame that is partly gone, the payload's end waits.
            total += min(size, waiting) if on_wire >= size else size
            waiting -= on_wire
            kept += 1
        while len(self._handed) > kept:
            self._handed.popleft()
        self._known = total
        return total

    def _freeze(self) -> None:
        if self._frozen is None:
            self._frozen = self._unsent()
            self._loop.call_soon(self._thaw)

    def _thaw(self) -> None:
        if not self._is_over:
            self._frozen = None

    def _enqueue(self, item: _Item) -> None:
        self._queue.append(item)
        self._queued += item.size
        if self._task is None:
            # Not by the loop's factory: an eager task could be over before it is known.
            self._task = asyncio.Task(self._empty(), loop=self._loop)

    async def _empty(self) -> None:
        try:
            await self._send_all()
        finally:
            self._task = None

    async def _send_all(self) -> None:
        while self._queue:
            item = self._queue[0]
            if isinstance(item, _Goodbye):
                begin_closing(self._wire, 1005 if item.code is None else item.code, item.reason)
            else:
                try:
                    await self._send(item)
                except BaseException as error:
                    # What is queued stays counted: it will never be sent.
                    if is_own(self._wire, error):
                        return
                    self.broken = error
                    begin_closing(self._wire, 1011, "a file could not be read")
                    if not isinstance(error, Exception):
                        raise
                    return
                self._queued -= item.size
            self._queue.popleft()

    async def _send(self, item: _Item) -> None:
        if not is_file(item.content) and item.size <= self._large:
            await wait_for_room(self._wire)
            before = self._wire.write_buffer_size
            self._wire.send_nowait(item.content)  # type: ignore[arg-type]
            self._note(item.size, before)
            return
        is_empty = True
        parts = self._parts(item)
        first = await anext(parts, None)
        if first is not None:
            is_empty = False
            await self._wire.send(_chain(first, parts))
        if is_empty:
            await self._wire.send(b"" if not isinstance(item.content, str) else "")
        self._in_files -= item.size if is_file(item.content) else 0

    async def _parts(self, item: _Item) -> AsyncIterator[Any]:
        async for part in pieces(item.content, self._piece):
            size = size_of(part)
            before = self._wire.write_buffer_size
            yield part
            self._note(size, before)
            gone = min(size, item.size)
            item.size -= gone
            self._queued -= gone
            if is_file(item.content):
                self._in_files -= gone


async def send_whole(wire: ClientConnection, message: str | bytes | memoryview, limit: int) -> None:
    """Send one message, and wait until all of it is with the engine and its output below the high-water mark."""
    if size_of(message) <= min(LARGE, limit // 4):
        await wire.send(message)
    else:
        await wire.send(pieces(message, max(1, min(PIECE, limit // 16))))


async def _chain(first: Any, rest: AsyncIterator[Any]) -> AsyncIterator[Any]:
    yield first
    async for part in rest:
        yield part


def extensions_of(wire: ClientConnection) -> str:
    """The extensions in use, as the server named them."""
    response = wire.response
    return "" if response is None else ", ".join(response.headers.get_all("Sec-WebSocket-Extensions"))
