"""Messages in parts: received as they come, sent as they are made."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ..errors import ConnectionClosed

if TYPE_CHECKING:
    from .connection import BytesLike, Connection

__all__ = ["MessageStream", "each", "is_buffer", "send_in_pieces", "send_streaming", "turn_to_send"]

_CHECKED = 256 * 1024
"""Bytes of a text that are looked at at a time."""


class MessageStream(AsyncIterator[Any]):
    """The parts of the next message, in order; what :meth:`~everwire.Connection.recv_streaming` returns.

    Whoever lets go of it before the end drops the rest of the message. A task that is cancelled while it waits may go on later
    with the next part; before the first one, anybody may receive.
    """

    def __init__(self, connection: Connection, decode: bool | None) -> None:
        self._connection = connection
        self._decode = decode
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._is_begun = False
        self._is_fresh = True
        self._is_over = False

    def __aiter__(self) -> MessageStream:
        return self

    async def __anext__(self) -> str | bytes:
        if self._is_over:
            raise StopAsyncIteration
        if not self._is_begun:
            self._connection._set_streaming(True)
            self._is_begun = True
        try:
            part, is_last = await self._connection._recv_part()
            self._is_fresh = False
            if self._decode is True and isinstance(part, bytes):
                # A binary message is cut anywhere, between the bytes of a character too.
                part = self._decoder.decode(part, is_last)
        except (ConnectionClosed, UnicodeDecodeError):
            self._end()
            raise
        except asyncio.CancelledError:
            if self._is_fresh:
                # Nothing of the message was taken: whoever receives next gets all of it.
                self._is_begun = False
                self._connection._set_streaming(False)
            raise
        if is_last:
            self._is_over = True
            self._connection._set_streaming(False)
        if self._decode is False and isinstance(part, str):
            return part.encode()
        return part

    async def aclose(self) -> None:
        """Drop the rest of the message."""
        self._end()

    def __del__(self) -> None:
        if not self._is_begun or self._is_over:
            return
        try:
            self._end()
        except RuntimeError:
            # Another thread, which may collect garbage too; or the loop is closed by now, and nobody receives any more.
            with contextlib.suppress(RuntimeError):
                self._connection._loop.call_soon_threadsafe(_give_up, self._connection)

    def _end(self) -> None:
        if self._is_begun and not self._is_over:
            self._is_over = True
            _give_up(self._connection)


def _give_up(connection: Connection) -> None:
    connection._set_streaming(False)
    connection._skip_parts()


def turn_to_send(connection: Connection) -> asyncio.Lock:
    """A lock that keeps the order of those who wait: a message in parts goes first if one is under way."""
    if connection._sending is None:
        connection._sending = asyncio.Lock()
    return connection._sending


async def each(parts: Iterable[Any]) -> AsyncIterator[Any]:
    """The parts of an iterable, asynchronously."""
    for part in parts:
        yield part


async def send_streaming(connection: Connection, parts: AsyncIterable[Any], text: bool | None) -> None:
    """Send a message in parts, each at once, while other messages wait.

    Raises:
        ConnectionClosed: the connection closed before the end.
        Exception: what making the parts raises, the end of another connection too. If some are with the peer, the connection
            closes with 1011.
        TypeError: the parts are not all text, or all bytes-like; the same.
        UnicodeDecodeError: bytes that are sent as text are not UTF-8 together; the same.
    """
    async with turn_to_send(connection):
        with _to_the_end(connection):
            begun: type[str | bytes] | None = None
            checker = codecs.getincrementaldecoder("utf-8")()
            async for part in parts:
                kind = _kind(part, begun)
                if text and kind is bytes:
                    checker.decode(part)
                await _send_part(connection, _flat(part), kind is str if text is None else text, fin=False)
                begun = kind
            if begun is not None:
                checker.decode(b"", final=True)
                # Which part is the last is known only now, and none is held back until then.
                await _send_part(connection, begun(), begun is str if text is None else text, fin=True)


async def send_in_pieces(connection: Connection, message: str | BytesLike, text: bool | None) -> None:
    """Send a message that is too large to be queued, from where it lies, for whoever has the turn to send.

    Raises:
        ConnectionClosed: the connection closed before the end.
        UnicodeDecodeError: bytes that are to be sent as text are not UTF-8; nothing was queued.
    """
    flat = _flat(message)
    if text and isinstance(flat, memoryview):
        _check_text(flat)
    with _to_the_end(connection):
        await _send_part(connection, flat, isinstance(flat, str) if text is None else text, fin=True)


async def _send_part(connection: Connection, part: str | bytes | memoryview, text: bool, fin: bool) -> None:
    """Send a part of a message in as many pieces as it takes, each when there is room for it."""
    start = 0
    while True:
        await connection._wait_for_room()
        start = connection._send_piece(part, text, fin, start)
        if start < 0:
            raise await connection._when_closed()
        connection._is_mid_message = start > 0 or not fin
        if start == 0:
            return


@contextlib.contextmanager
def _to_the_end(connection: Connection) -> Iterator[None]:
    """Close a connection with 1011 if a message on it is left half sent."""
    try:
        yield
    except BaseException:
        if connection._is_mid_message:
            # Half a message is with the peer, and the other half will not come: there is no way to take it back. Does nothing if
            # it is this connection that ended.
            connection._close(1011, "error in fragmented message")
        raise
    finally:
        connection._is_mid_message = False


def _flat(message: str | BytesLike) -> str | bytes | memoryview:
    """A message as text, or as bytes that lie in a row; copied only if they do not."""
    if isinstance(message, str | bytes):
        return message
    view = memoryview(message)
    return view.cast("B") if view.c_contiguous and view.nbytes else view.tobytes()


def _check_text(view: memoryview) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(view), _CHECKED):
        decoder.decode(view[start : start + _CHECKED])
    decoder.decode(b"", final=True)


def _kind(part: Any, begun: type[str | bytes] | None) -> type[str | bytes]:
    if isinstance(part, str):
        kind: type[str | bytes] = str
    elif is_buffer(part):
        kind = bytes
    else:
        raise TypeError(f"data iterable must contain str or bytes, not {type(part).__name__}")
    if begun not in (None, kind):
        raise TypeError("data iterable must contain parts of one type, all str or all bytes")
    return kind


def is_buffer(value: Any) -> bool:
    """Whether something is bytes-like."""
    try:
        memoryview(value)
    except TypeError:
        return False
    return True
