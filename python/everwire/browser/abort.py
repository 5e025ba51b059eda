"""Signals that call something off (DOM §3)."""

from __future__ import annotations

import asyncio
from typing import Any

from .event import Event
from .target import EventTarget, Handler

__all__ = ["AbortController", "AbortSignal"]


class AbortSignal(EventTarget):
    """Tells whether something was called off; an :class:`AbortController` makes it, or one of the methods here.

    Attributes:
        aborted: whether it was.
        reason: the exception that says why; ``None`` before.
        on_abort: a function or coroutine function for the ``abort`` event.
    """

    on_abort: Handler[Event] = Handler("abort")
    onabort = on_abort

    def __init__(self) -> None:
        super().__init__()
        self.aborted = False
        self.reason: BaseException | None = None

    @classmethod
    def abort(cls, reason: BaseException | str | None = None) -> AbortSignal:
        """A signal that is aborted already."""
        signal = cls()
        signal._abort(reason)
        return signal

    @classmethod
    def timeout(cls, delay: float) -> AbortSignal:
        """A signal that is aborted in so many seconds, by :exc:`TimeoutError`; needs a running event loop."""
        signal = cls()
        asyncio.get_running_loop().call_later(delay, signal._abort, TimeoutError(f"{delay} s have passed"))
        return signal

    def throw_if_aborted(self) -> None:
        """Raise the reason if there is one."""
        if self.reason is not None:
            raise self.reason

    throwIfAborted = throw_if_aborted

    def _abort(self, reason: BaseException | str | None) -> None:
        if self.aborted:
            return
        self.aborted = True
        self.reason = exception_of(reason, "the signal was aborted")
        event = Event("abort")
        event.is_trusted = True
        self._fire(event)


class AbortController:
    """Calls off what has its signal.

    Attributes:
        signal: to give to whatever may be called off.
    """

    def __init__(self) -> None:
        self.signal = AbortSignal()

    def abort(self, reason: BaseException | str | None = None) -> None:
        """Call it off; once is enough.

        Args:
            reason: an exception, which is then raised as it is, or a text for a :exc:`ConnectionAbortedError`.
        """
        self.signal._abort(reason)


def exception_of(reason: Any, text: str) -> BaseException:
    """A reason as an exception: in Python only those can be raised."""
    if isinstance(reason, BaseException):
        return reason
    return ConnectionAbortedError(text if reason is None else f"{text}: {reason}")
