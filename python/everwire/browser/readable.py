"""A stream to read from (Streams Standard §4), as far as it can be had of a WebSocket.

Nothing is read ahead: a message leaves the connection when somebody asks for one, so whoever does not read stops the sender.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple

from ..errors import ConnectionClosed, UsageError
from .outcome import Outcome, StrongOutcome

__all__ = ["ReadResult", "ReadableStream", "ReadableStreamDefaultReader"]


class ReadResult(NamedTuple):
    """What :meth:`ReadableStreamDefaultReader.read` gives.

    Attributes:
        value: a message: text as ``str``, binary as ``bytes``; ``None`` at the end.
        done: whether it is the end.
    """

    value: str | bytes | None
    done: bool


class ReadableStream:
    """Messages to read, by one reader at a time; ``async for message in stream`` takes one for as long as it runs.

    Leaving the iteration before the end cancels the stream, which closes the connection; ``values(prevent_cancel=True)`` does not.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        pull: Callable[[], Awaitable[str | bytes]],
        cancel: Callable[[Any], None],
        hold: Callable[[int], None],
    ) -> None:
        self._loop = loop
        self._pull = pull
        self._on_cancel = cancel
        self._hold = hold
        self._reader: ReadableStreamDefaultReader | None = None
        self._requests: deque[asyncio.Future[ReadResult]] = deque()
        self._chunks: deque[str | bytes] = deque()
        self._pulling: asyncio.Task[None] | None = None
        # How it is to end once what came is read, and whether it has.
        self._is_ending = False
        self._error: BaseException | None = None
        self._is_exhausted = False
        self._is_over = False

    @property
    def locked(self) -> bool:
        """Whether it has a reader."""
        return self._reader is not None

    def get_reader(self) -> ReadableStreamDefaultReader:
        """A reader, the only one until it lets go.

        Raises:
            UsageError: there is one already.
        """
        if self._reader is not None:
            raise UsageError("this stream is locked: its reader has to call release_lock() first")
        self._reader = ReadableStreamDefaultReader(self)
        return self._reader

    async def cancel(self, reason: object = None) -> None:
        """Read no more, and close the connection: with code and reason of a :class:`WebSocketError`, else without.

        Raises:
            UsageError: it is locked: cancel its reader.
        """
        if self._reader is not None:
            raise UsageError("this stream is locked: cancel its reader, or release it first")
        self._cancel(reason)

    def values(self, *, prevent_cancel: bool = False) -> AsyncIterator[str | bytes]:
        """Iterate over messages to the end.

        Args:
            prevent_cancel: leave the stream as it is when the iteration is left.

        Raises:
            UsageError: it is locked.
            WebSocketError: it ended otherwise than by a clean close.
        """
        return _values(self.get_reader(), prevent_cancel)

    def __aiter__(self) -> AsyncIterator[str | bytes]:
        return self.values()

    getReader = get_reader

    # For readers

    async def _read(self) -> ReadResult:
        if self._chunks:
            chunk = self._chunks.popleft()
            self._settle()
            return ReadResult(chunk, False)
        if self._is_over:
            if self._error is not None:
                raise self._error
            return ReadResult(None, True)
        request: asyncio.Future[ReadResult] = self._loop.create_future()
        self._requests.append(request)
        self._start()
        try:
            return await request
        except asyncio.CancelledError:
            if request in self._requests:
                self._requests.remove(request)
            elif request.done() and not request.cancelled() and request.exception() is None:
                value = request.result().value
                if value is not None:
                    # It came in the moment of the cancellation: the next one gets it.
                    self._chunks.appendleft(value)
            raise

    def _cancel(self, reason: object) -> None:
        if self._is_over:
            if self._error is not None:
                raise self._error
            return
        self._chunks.clear()
        self._is_ending = self._is_exhausted = True
        self._settle()
        self._on_cancel(reason)

    def _on_waiting(self, change: int) -> None:
        self._hold(change)

    def _on_deserted(self, outcome: Outcome[Any]) -> None:
        """Nothing follows from that."""

    # For the connection

    def _end(self, error: BaseException | None) -> None:
        """Close, or fail by an error, once everything that came was read."""
        if not self._is_ending:
            self._is_ending, self._error = True, error
            self._start()
            self._settle()

    def _start(self) -> None:
        if self._pulling is None and not self._is_exhausted:
            # Not by the loop's factory: an eager task could be over before it is known.
            self._pulling = asyncio.Task(self._take(), loop=self._loop)

    async def _take(self) -> None:
        try:
            while self._requests or self._is_ending:
                chunk = await self._pull()
                if self._is_over:
                    return
                self._give(chunk)
        except ConnectionClosed:
            self._is_exhausted = True
        finally:
            self._pulling = None
            self._settle()

    def _give(self, chunk: str | bytes) -> None:
        while self._requests:
            request = self._requests.popleft()
            if not request.done():
                request.set_result(ReadResult(chunk, False))
                return
        self._chunks.append(chunk)

    def _settle(self) -> None:
        if self._is_over or not self._is_ending or not self._is_exhausted or self._chunks:
            return
        self._is_over = True
        for request in self._requests:
            if request.done():
                continue
            if self._error is None:
                request.set_result(ReadResult(None, True))
            else:
                request.set_exception(self._error)
        self._requests.clear()
        if self._reader is not None:
            self._reader._settle()


class ReadableStreamDefaultReader:
    """Reads a stream; get it of :meth:`ReadableStream.get_reader`."""

    def __init__(self, stream: ReadableStream) -> None:
        self._stream: ReadableStream | None = stream
        self._closed: Outcome[None] = Outcome(stream._loop, stream)
        self._settle()

    async def read(self) -> ReadResult:
        """The next message, and whether the stream is at its end instead.

        Several calls may wait: each gets its message, in order. If a task is cancelled while it waits, no message is lost.

        Raises:
            UsageError: the reader was released.
            WebSocketError: the connection ended otherwise than by a clean close, and everything that came was read.
        """
        return await self._held()._read()

    async def cancel(self, reason: object = None) -> None:
        """Cancel the stream, as :meth:`ReadableStream.cancel`.

        Raises:
            UsageError: the reader was released.
        """
        self._held()._cancel(reason)

    def release_lock(self) -> None:
        """Let go of the stream: whoever waits in :meth:`read` gets a :exc:`UsageError`, and no message is lost."""
        stream = self._stream
        if stream is None:
            return
        released = UsageError("the reader was released: get another one of the stream")
        for request in stream._requests:
            if not request.done():
                request.set_exception(released)
        stream._requests.clear()
        if self._closed.done():
            self._closed = Outcome.failed(stream._loop, released)
        else:
            self._closed._reject(released)
        self._stream = stream._reader = None

    @property
    def closed(self) -> Awaitable[None]:
        """Waits for the end of the stream.

        Raises:
            UsageError: the reader was released.
            WebSocketError: the stream failed.
        """
        return StrongOutcome(self._closed, self._stream)

    releaseLock = release_lock

    def _held(self) -> ReadableStream:
        if self._stream is None:
            raise UsageError("the reader was released: get another one of the stream")
        return self._stream

    def _settle(self) -> None:
        stream = self._stream
        if stream is not None and stream._is_over:
            if stream._error is None:
                self._closed._resolve(None)
            else:
                self._closed._reject(stream._error)


async def _values(reader: ReadableStreamDefaultReader, prevent_cancel: bool) -> AsyncIterator[str | bytes]:
    is_at_end = False
    try:
        while True:
            try:
                value, is_at_end = await reader.read()
            except Exception:
                is_at_end = True
                raise
            if value is None:
                return
            yield value
    finally:
        if not is_at_end and not prevent_cancel and reader._stream is not None and not reader._stream._is_over:
            reader._stream._cancel(None)
        reader.release_lock()
