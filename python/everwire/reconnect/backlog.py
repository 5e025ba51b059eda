"""Messages that wait for a connection: in order, bounded by count and bytes, each of them accounted for."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
from collections.abc import Callable
from typing import Literal

from ..errors import LimitExceeded

__all__ = ["Backlog", "Overflow", "Waiting"]

Overflow = Literal["oldest", "newest", "refuse"]
"""What a full backlog does with one more message: drop the oldest, drop the new one, or refuse it to the caller."""


@dataclasses.dataclass(eq=False)
class Waiting:
    """A message that waits.

    Attributes:
        message: text as ``str``, binary as ``bytes``.
        size: its bytes.
        receipt: done when a connection has taken the message, failed when it was dropped, cancelled when it was withdrawn.
    """

    message: str | bytes
    size: int
    receipt: asyncio.Future[None]


class Backlog:
    """The messages of one client.

    Args:
        count: how many may wait.
        size: how many bytes of them.
        overflow: what happens to one more.
        on_drop: is told each message that is dropped, and why.
    """

    def __init__(
        self, count: int, size: int, overflow: Overflow, on_drop: Callable[[str | bytes, Exception], None]
    ) -> None:
        self._limits = count, size
        self._overflow = overflow
        self._on_drop = on_drop
        self._queue: collections.deque[Waiting] = collections.deque()
        self._size = 0

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def size(self) -> int:
        """Bytes that wait."""
        return self._size

    def put(self, message: str | bytes, receipt: asyncio.Future[None]) -> None:
        """Let one more message wait; cancelling its receipt withdraws it.

        Raises:
            LimitExceeded: it alone is larger than the limit; or there is no room, and the policy is to refuse.
        """
        count, size = self._limits
        entry = Waiting(message, len(message.encode() if isinstance(message, str) else message), receipt)
        if entry.size > size or count == 0:
            raise LimitExceeded(f"a message of {entry.size} bytes cannot wait for a connection: {self._bounds()}")
        if not self._has_room(entry):
            for withdrawn in [waiting for waiting in self._queue if waiting.receipt.cancelled()]:
                self._remove(withdrawn)
        if not self._has_room(entry):
            text = f"the connection is away, and no more can wait for it: {self._bounds()}"
            if self._overflow == "refuse":
                raise LimitExceeded(text)
            if self._overflow == "newest":
                self._fail(entry, LimitExceeded(text))
                return
            while not self._has_room(entry):
                self.drop(self._queue[0], LimitExceeded(text))
        self._queue.append(entry)
        self._size += entry.size
        receipt.add_done_callback(lambda done: self._remove(entry) if done.cancelled() else None)

    def first(self) -> Waiting | None:
        """The message whose turn it is; ``None`` if none waits."""
        while self._queue and self._queue[0].receipt.cancelled():
            self._remove(self._queue[0])
        return self._queue[0] if self._queue else None

    def sent(self, entry: Waiting) -> None:
        """A connection took a message."""
        self._remove(entry)
        if not entry.receipt.done():
            entry.receipt.set_result(None)

    def drop(self, entry: Waiting, why: Exception) -> None:
        """Give a message up."""
        self._remove(entry)
        self._fail(entry, why)

    def fail(self, why: Exception) -> None:
        """Give every message up: there will be no connection any more."""
        while (entry := self.first()) is not None:
            self.drop(entry, why)

    def _has_room(self, entry: Waiting) -> bool:
        count, size = self._limits
        return len(self._queue) < count and self._size + entry.size <= size

    def _remove(self, entry: Waiting) -> None:
        if entry in self._queue:
            self._queue.remove(entry)
            self._size -= entry.size

    def _fail(self, entry: Waiting, why: Exception) -> None:
        if not entry.receipt.done():
            entry.receipt.set_exception(why)
            entry.receipt.exception()  # nobody has to await it
        self._on_drop(entry.message, why)

    def _bounds(self) -> str:
        return f"queue_messages is {self._limits[0]}, queue_bytes is {self._limits[1]}"
