"""What will be known later: the promises of the streams, which can be awaited any number of times."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import Any, Generic, TypeVar

__all__ = ["Outcome"]

T = TypeVar("T")


class Outcome(Generic[T]):
    """A result or an exception, now or later. Await it as often as you like, or never: nothing complains.

    Cancelling a task that waits for it ends only the waiting.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, on_deserted: Callable[[], None] | None = None) -> None:
        self._future: asyncio.Future[T] = loop.create_future()
        self._waiting = 0
        self._on_deserted = on_deserted

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

        self._future.add_done_callback(wake)
        self._waiting += 1
        try:
            await waiter
        except asyncio.CancelledError:
            if self._waiting == 1 and not self._future.done() and self._on_deserted is not None:
                self._on_deserted()
            raise
        finally:
            self._waiting -= 1
            self._future.remove_done_callback(wake)

    def _resolve(self, value: T) -> None:
        if not self._future.done():
            self._future.set_result(value)

    def _reject(self, error: BaseException) -> None:
        if not self._future.done():
            # A future takes everything but StopIteration.
            self._future.set_exception(error)
            self._future.exception()
