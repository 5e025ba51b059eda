"""The status of a client that comes back: what it is doing now, told to everybody who watches."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
from collections.abc import AsyncIterator
from typing import Literal

__all__ = ["CurrentStatus", "LinkState", "LinkStatus"]

LinkState = Literal["new", "connecting", "open", "waiting", "closing", "closed"]
"""``new`` until it is started; then in turn ``connecting``, ``open`` and ``waiting``; at last ``closing`` and ``closed``."""

_KEPT = 64
"""How many changes a watcher may be behind; of a slow one's the oldest are forgotten."""


@dataclasses.dataclass(frozen=True)
class LinkStatus:
    """What the client is doing, and why it is not connected if it is not.

    Attributes:
        state: ``"new"``, ``"connecting"``, ``"open"``, ``"waiting"``, ``"closing"`` or ``"closed"``.
        attempt: the number of the attempt to connect, from 1 after each loss; 0 before the first.
        delay: seconds until the next attempt, while waiting.
        error: why there is no connection: what the last attempt, or the last connection, ended with; ``None`` while open.
    """

    state: LinkState
    attempt: int = 0
    delay: float | None = None
    error: Exception | None = None


class CurrentStatus:
    """The status that holds now, and who waits for the next one."""

    def __init__(self) -> None:
        self.now = LinkStatus("new")
        self._waiters: set[asyncio.Future[None]] = set()
        self._watchers: list[collections.deque[LinkStatus]] = []

    def set(self, status: LinkStatus) -> None:
        """Tell everybody."""
        self.now = status
        for watcher in self._watchers:
            watcher.append(status)
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def change(self) -> None:
        """Wait for the next status; cancelling it harms nobody."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)

    async def watch(self) -> AsyncIterator[LinkStatus]:
        """The status now, then each further one; the last is ``closed``."""
        seen = collections.deque([self.now], _KEPT)
        self._watchers.append(seen)
        try:
            while True:
                while seen:
                    status = seen.popleft()
                    yield status
                    if status.state == "closed":
                        return
                await self.change()
        finally:
            # By identity: two watchers that have seen the same are equal.
            self._watchers = [watcher for watcher in self._watchers if watcher is not seen]
