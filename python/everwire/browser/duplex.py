"""One connection between two streams: how it opens, ends, and what each end of it learns."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable
from typing import Any

from ..connection import State, begin_closing, has_room, wait_for_room
from ..errors import ConnectionClosed, LimitExceeded
from ..limits import Limits
from .abort import AbortSignal
from .closing import CloseInfo, WebSocketError
from .link import Link, LinkOptions, Wire
from .message import size_of
from .outcome import Outcome
from .outgoing import extensions_of, send_whole
from .readable import ReadableStream
from .writable import WritableStream

__all__ = ["Duplex", "OpenInfo"]


@dataclasses.dataclass(frozen=True)
class OpenInfo:
    """A connection that is open.

    Attributes:
        readable: the messages that come.
        writable: takes the messages to send.
        extensions: what the server agreed to; empty if there are none.
        protocol: the subprotocol; empty if there is none.
    """

    readable: ReadableStream
    writable: WritableStream
    extensions: str
    protocol: str


class Duplex:
    """What a :class:`WebSocketStream` and its two streams have in common; it lives as long as one of them is held.

    Attributes:
        opened: the streams, or why there are none.
        closed: how it was closed, or why it was not closed cleanly.
    """

    _link: Link | None = None

    def __init__(self, url: str, protocols: list[str], signal: AbortSignal | None, options: LinkOptions) -> None:
        self._loop = asyncio.get_running_loop()
        self.opened: Outcome[OpenInfo] = Outcome(self._loop, self)
        self.closed: Outcome[CloseInfo] = Outcome(self._loop, self)
        self._ending: Outcome[BaseException] = Outcome(self._loop, self)
        self._waiting = 0
        self._signal = signal
        self._wire: Wire | None = None
        self._streams: OpenInfo | None = None
        if signal is not None and signal.reason is not None:
            self._refuse(signal.reason)
            return
        limits = options.get("limits") or Limits()
        self._at_once = min(limits.write_high, limits.output // 4)
        self._link = Link(self, url, protocols, options, self._loop)
        if signal is not None:
            signal.add_event_listener("abort", self._on_abort)

    def close(self, code: int | None, reason: str) -> None:
        """Begin the closing handshake, or give the opening one up."""
        if not self.opened.done():
            self._give_up(WebSocketError("the WebSocketStream was closed before it was open"))
        elif self._wire is not None:
            begin_closing(self._wire, 1005 if code is None else code, reason)

    def _on_waiting(self, change: int) -> None:
        self._waiting += change
        if self._link is not None:
            # Whoever waits for the end need not hold more than that.
            self._link.kept = self if self._waiting else None

    def __del__(self) -> None:
        if self._link is not None and not self.closed.done():
            self._link.abandon_soon()

    # Before it is open

    def _on_abort(self, _: object) -> None:
        assert self._signal is not None
        assert self._signal.reason is not None
        self._give_up(self._signal.reason)

    def _on_deserted(self, outcome: Outcome[Any]) -> None:
        if outcome is self.opened:
            self._give_up(WebSocketError("whoever waited for the WebSocketStream to open was cancelled"))

    def _give_up(self, error: BaseException) -> None:
        if not self.opened.done():
            assert self._link is not None
            self._link.stop_opening()
            self._refuse(error)

    def _refuse(self, error: BaseException) -> None:
        self.opened._reject(error)
        self.closed._reject(error)
        self._forget_signal()

    def _forget_signal(self) -> None:
        if self._signal is not None:
            self._signal.remove_event_listener("abort", self._on_abort)

    # The link calls

    def _on_open(self, wire: Wire) -> None:
        if self.opened.done():
            wire.abort()
            return
        self._forget_signal()
        self._wire = wire
        readable = ReadableStream(self._loop, wire.recv, self.abort, self._on_waiting)
        writable = WritableStream(self._loop, self)
        self._streams = OpenInfo(readable, writable, extensions_of(wire), wire.subprotocol or "")
        self.opened._resolve(self._streams)

    def _on_failed(self, error: Exception) -> None:
        if not self.opened.done():
            failure = WebSocketError(f"the WebSocketStream could not be opened: {error}")
            failure.__cause__ = error
            self._refuse(failure)

    def _on_message(self, message: str | bytes) -> None:
        """Nobody hears a message that the link reads: the streams are gone."""

    def _on_end(self, closed: ConnectionClosed) -> None:
        assert self._streams is not None
        readable, writable = self._streams.readable, self._streams.writable
        if closed.clean and not writable._is_unfinished:
            self._ending._resolve(closed)
            if not writable._is_closing:
                writable._fail(closed)
            readable._end(None)
            self.closed._resolve(CloseInfo(closed.code, closed.reason))
        else:
            error = WebSocketError._of(closed)
            self._ending._resolve(error)
            writable._fail(error)
            readable._end(error)
            self.closed._reject(error)

    # The writable stream calls

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent."""
        return self._wire is not None and self._wire.state is State.OPEN

    def take(self, message: str | bytes | memoryview) -> bool:
        """Send a message at once, if the engine has room for it."""
        wire = self._wire
        assert wire is not None
        if size_of(message) > self._at_once or not has_room(wire):
            return False
        try:
            wire.send_nowait(message)
        except (ConnectionClosed, LimitExceeded):
            return False
        return True

    async def write(self, message: str | bytes | memoryview) -> None:
        """Send a message, and wait until all of it is with the system, or queued below the high-water mark."""
        assert self._wire is not None
        assert self._link is not None
        await send_whole(self._wire, message, self._link.limit)
        await wait_for_room(self._wire)

    async def finish(self) -> None:
        """Close, and wait for the end."""
        self.close(None, "")
        await self.closed

    def abort(self, reason: object) -> None:
        """Close, as a reason says."""
        assert self._wire is not None
        code, text = (reason.close_code, reason.reason) if isinstance(reason, WebSocketError) else (None, "")
        begin_closing(self._wire, 1005 if code is None else code, text)

    def hold(self, change: int) -> None:
        """Stay, while somebody waits for what becomes of a stream."""
        self._on_waiting(change)

    def ended(self) -> Awaitable[BaseException]:
        """Why nothing more can be written, once it is known."""
        return self._ending
