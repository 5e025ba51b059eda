"""A stream to write to (Streams Standard §5), as far as it leads into a WebSocket.

One message at a time is on its way to the connection, which takes it when the output that waits for the peer has fallen below its
high-water mark. What is written meanwhile waits here, and ``ready`` and ``desired_size`` say so.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable
from typing import Any, Protocol

from ..errors import ConnectionClosed, UsageError
from .abort import exception_of
from .message import payload
from .outcome import Outcome, StrongOutcome

__all__ = ["Sink", "WritableStream", "WritableStreamDefaultWriter"]

HIGH_WATER_MARK = 1
"""Messages on their way from which on a writer should wait: the standard's own default."""


class Sink(Protocol):
    """Where a stream leads to."""

    @property
    def is_open(self) -> bool:
        """Whether it takes anything."""
        ...

    def take(self, message: str | bytes | memoryview) -> bool:
        """Take a message at once, if it need not wait."""
        ...

    async def write(self, message: str | bytes | memoryview) -> None:
        """Take a message."""

    async def finish(self) -> None:
        """End, after everything that was written."""

    def abort(self, reason: object) -> None:
        """End at once."""

    def hold(self, change: int) -> None:
        """Stay while so many more wait, or fewer."""

    def ended(self) -> Awaitable[BaseException]:
        """Why nothing more can be written, once it is known."""
        ...


class WritableStream:
    """Takes messages, of one writer at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, sink: Sink) -> None:
        self._loop = loop
        self._sink = sink
        self._writer: WritableStreamDefaultWriter | None = None
        # What waits: messages, and a close at the end; the first may be on its way.
        self._queue: deque[tuple[str | bytes | memoryview | None, Outcome[None]]] = deque()
        # What was written when the connection was closing already: it never had a chance.
        self._late: list[Outcome[None]] = []
        self._working: asyncio.Task[None] | None = None
        self._closing: Outcome[None] | None = None
        self._error: BaseException | None = None
        self._is_closed = False
        self._ready: Outcome[None] = Outcome.of(loop, None)
        self._closed: Outcome[None] = Outcome(loop, self)

    @property
    def locked(self) -> bool:
        """Whether it has a writer."""
        return self._writer is not None

    def get_writer(self) -> WritableStreamDefaultWriter:
        """A writer, the only one until it lets go.

        Raises:
            UsageError: there is one already.
        """
        if self._writer is not None:
            raise UsageError("this stream is locked: its writer has to call release_lock() first")
        self._writer = WritableStreamDefaultWriter(self)
        return self._writer

    def close(self) -> Awaitable[None]:
        """Close after what was written, as :meth:`WritableStreamDefaultWriter.close`.

        Raises:
            UsageError: it is locked: close its writer.
        """
        self._check_lock("close")
        return self._close()

    async def abort(self, reason: object = None) -> None:
        """Close at once, as :meth:`WritableStreamDefaultWriter.abort`.

        Raises:
            UsageError: it is locked: abort its writer.
        """
        self._check_lock("abort")
        self._abort(reason)

    getWriter = get_writer

    def _check_lock(self, verb: str) -> None:
        if self._writer is not None:
            raise UsageError(f"this stream is locked: {verb} its writer, or release it first")

    # For writers

    @property
    def _desired_size(self) -> int | None:
        if self._error is not None:
            return None
        return 0 if self._is_closed else HIGH_WATER_MARK - sum(message is not None for message, _ in self._queue)

    def _write(self, data: object) -> Awaitable[None]:
        if self._error is not None:
            return Outcome.failed(self._loop, self._error)
        if self._closing is not None or self._is_closed:
            return Outcome.failed(self._loop, UsageError("the stream is closed: nothing can be written any more"))
        try:
            message = payload(data)
        except TypeError as error:
            self._fail(error)
            return Outcome.failed(self._loop, error)
        if not self._sink.is_open:
            late: Outcome[None] = Outcome(self._loop)
            self._late.append(late)
            return StrongOutcome(late, self)
        if not self._queue and self._sink.take(message):
            return Outcome.of(self._loop, None)
        # Whoever wrote it may change it before its turn comes.
        message = bytes(message) if isinstance(message, memoryview) else message
        return self._enqueue(message)

    def _close(self) -> Outcome[None]:
        if self._closing is not None or self._is_closed:
            return Outcome.failed(self._loop, UsageError("the stream is closed already"))
        if self._error is not None:
            return Outcome.failed(self._loop, self._error)
        self._closing = self._enqueue(None)
        # There is nothing left to wait for.
        self._ready._resolve(None)
        return self._closing

    def _abort(self, reason: object) -> None:
        if self._is_closed or self._error is not None:
            return
        # First, so that the peer is told this reason, and not that a message was left half sent.
        self._sink.abort(reason)
        self._fail(exception_of(reason, "the stream was aborted"))
        if self._working is not None:
            self._working.cancel()

    def _enqueue(self, message: str | bytes | memoryview | None) -> Outcome[None]:
        outcome: Outcome[None] = Outcome(self._loop)
        self._queue.append((message, outcome))
        if message is not None and self._ready.done():
            self._ready = Outcome(self._loop, self)
        if self._working is None:
            # Not by the loop's factory: an eager task could be over before it is known.
            self._working = asyncio.Task(self._work(), loop=self._loop)
        return outcome

    async def _work(self) -> None:
        try:
            while self._queue and self._error is None:
                message, outcome = self._queue[0]
                try:
                    if message is None:
                        await self._sink.finish()
                        self._is_closed = True
                        self._closed._resolve(None)
                        self._give_up(UsageError("the stream was closed before this was written"))
                    else:
                        await self._sink.write(message)
                except ConnectionClosed:
                    # How it ended is for the connection to say, which still sees that something was on its way.
                    self._fail(await self._sink.ended())
                    return
                except Exception as error:
                    self._fail(error)
                    return
                if self._queue and self._queue[0][1] is outcome:
                    self._queue.popleft()
                outcome._resolve(None)
                if not self._queue:
                    self._ready._resolve(None)
        finally:
            self._working = None

    def _on_waiting(self, change: int) -> None:
        self._sink.hold(change)

    def _on_deserted(self, outcome: Outcome[Any]) -> None:
        """Nothing follows from that."""

    # For the connection

    @property
    def _is_unfinished(self) -> bool:
        """Whether a message is on its way, or waits."""
        return any(message is not None for message, _ in self._queue)

    @property
    def _is_closing(self) -> bool:
        """Whether the closing handshake is on its way because the program closed the stream."""
        return bool(self._queue) and self._queue[0][0] is None

    def _fail(self, error: BaseException) -> None:
        """End: nothing more can be written, and what waits will not be."""
        if self._is_closed or self._error is not None:
            return
        self._error = error
        for _, outcome in self._queue:
            outcome._reject(error)
        self._queue.clear()
        self._give_up(error)
        if self._ready.done():
            self._ready = Outcome.failed(self._loop, error)
        else:
            self._ready._reject(error)
        self._closed._reject(error)

    def _give_up(self, error: BaseException) -> None:
        for late in self._late:
            late._reject(error)
        self._late.clear()


class WritableStreamDefaultWriter:
    """Writes to a stream; get it of :meth:`WritableStream.get_writer`."""

    def __init__(self, stream: WritableStream) -> None:
        self._stream: WritableStream | None = stream
        self._loop = stream._loop

    @property
    def desired_size(self) -> int | None:
        """How many messages may be written before one should wait; 0 or less is the time to. ``None`` if the stream failed.

        Raises:
            UsageError: the writer was released.
        """
        return self._held()._desired_size

    @property
    def ready(self) -> Awaitable[None]:
        """Waits until there is room for a message.

        Raises:
            ConnectionClosed: the connection was closed cleanly.
            UsageError: the writer was released.
            WebSocketError: the connection ended otherwise.
        """
        return self._released() if self._stream is None else StrongOutcome(self._stream._ready, self._stream)

    @property
    def closed(self) -> Awaitable[None]:
        """Waits until the stream is closed by :meth:`close`.

        Raises:
            ConnectionClosed, UsageError, WebSocketError: as :attr:`ready`.
        """
        return self._released() if self._stream is None else StrongOutcome(self._stream._closed, self._stream)

    def write(self, message: str | bytes | bytearray | memoryview) -> Awaitable[None]:
        """Write a message at the call; what it returns waits until the connection has taken all of it.

        That is when it is queued below the high-water mark (``limits.write_high``) or written. Cancelling whoever waits does not
        take it back.

        Args:
            message: text if ``str``, binary if bytes-like.

        Raises:
            ConnectionClosed, WebSocketError: when awaited: the connection is closed, or was before all of it was taken.
            TypeError: when awaited: it is no message. The stream has failed with it.
            UsageError: when awaited: the stream is closed, or the writer was released.
        """
        return self._released() if self._stream is None else self._stream._write(message)

    def close(self) -> Awaitable[None]:
        """Begin the closing handshake, without a code, after what was written; what it returns waits until it is complete.

        Raises:
            UsageError: when awaited: it is closed already, or the writer was released.
            WebSocketError: when awaited: the connection ended otherwise.
        """
        return self._released() if self._stream is None else self._stream._close()

    async def abort(self, reason: object = None) -> None:
        """Close at once: with code and reason of a :class:`WebSocketError`, else without. What waits is not written.

        Raises:
            UsageError: the writer was released.
        """
        self._held()._abort(reason)

    def release_lock(self) -> None:
        """Let go of the stream. What was written is still sent."""
        if self._stream is not None:
            self._stream._writer = None
            self._stream = None

    @property
    def desiredSize(self) -> int | None:
        """:attr:`desired_size`, as JavaScript spells it."""
        return self.desired_size

    releaseLock = release_lock

    def _held(self) -> WritableStream:
        if self._stream is None:
            raise UsageError("the writer was released: get another one of the stream")
        return self._stream

    def _released(self) -> Outcome[Any]:
        return Outcome.failed(self._loop, UsageError("the writer was released: get another one of the stream"))
