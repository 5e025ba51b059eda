"""What will be known later: the promises of the streams, which can be awaited any number of times."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Generator
from typing import Any, Generic, Protocol, TypeVar

__all__ = ["Holder", "Outcome", "StrongOutcome"]

T = TypeVar("T")


class Holder(Protocol):
    """Who must live as long as somebody waits for an outcome of it, be it held by others or not."""

    def _on_waiting(self, change: int) -> None:
        """So many more wait, or fewer."""

    def _on_deserted(self, outcome: Outcome[Any]) -> None:
        """The only one who waited was cancelled."""


class StrongOutcome(Generic[T]):
    """An outcome as programs get it: it refers strongly to what it is an outcome of, which lives as long."""

    def __init__(self, outcome: Outcome[T], holder: object) -> None:
        self._outcome = outcome
        self._holder = holder

    def __await__(self) -> Generator[Any, None, T]:
        return (yield from self._outcome.__await__())


class Outcome(Generic[T]):
    """A result or an exception, now or later. Await it as often as you like, or never: nothing complains.

    Cancelling a task that waits for it ends only the waiting.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, holder: Holder | None = None) -> None:
        self._future: asyncio.Future[T] = loop.create_future()
        self._waiting = 0
        self._holder = None if holder is None else weakref.ref(holder)

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop, value: T) -> Outcome[T]:
        """One that is known."""
        outcome = cls(loop)
        outcome._resolve(value)
        return outcome

    @classmethod
    def failed(cls, loop: asyncio.AbstractEventLoop, error: BaseException) -> Outcome[T]:
        """One that is known to be bad."""
        outcome = cls(loop)
        outcome._reject(error)
        return outcome

    def done(self) -> bool:
        """Whether it is known."""
        return self._future.done()

    def __await__(self) -> Generator[Any, None, T]:
        if not self._future.done():
            yield from self._wait().__await__()
        return self._future.result()

    async def _wait(self) -> None:
        # A waiter of its own: cancelling a task cancels what it waits for.
        waiter = self._future.get_loop().create_future()

        def wake(_: object) -> None:
            if not waiter.done():
                waiter.set_result(None)

        holder = None if self._holder is None else self._holder()
        self._future.add_done_callback(wake)
        self._count(holder, 1)
        try:
            await waiter
        except asyncio.CancelledError:
            if self._waiting == 1 and not self._future.done() and holder is not None:
                holder._on_deserted(self)
            raise
        finally:
            self._count(holder, -1)
            self._future.remove_done_callback(wake)

    def _count(self, holder: Holder | None, change: int) -> None:
        self._waiting += change
        if holder is not None:
            holder._on_waiting(change)

    def _resolve(self, value: T) -> None:
        if not self._future.done():
            self._future.set_result(value)

    def _reject(self, error: BaseException) -> None:
        if not self._future.done():
            # A future takes everything but StopIteration.
            self._future.set_exception(error)
            self._future.exception()
