"""``WebSocket`` as browsers have it (WHATWG WebSockets §3), for asyncio."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Generator, Iterable, Mapping
from types import TracebackType
from typing import Any, Self, Unpack

from ..connection import State
from ..errors import ConnectionClosed, UsageError
from ..http import hidden_url
from . import subprotocol
from .closing import checked
from .event import CloseEvent, ErrorEvent, Event, MessageEvent
from .link import Link, LinkOptions, Wire, running_loop
from .message import File, is_file, payload, size_of
from .outcome import Outcome
from .outgoing import extensions_of
from .target import EventTarget, Handler
from .url import normalized, origin

__all__ = ["WebSocket"]

_BINARY_TYPES = {"bytes": "bytes", "memoryview": "memoryview", "file": "file", "arraybuffer": "bytes", "blob": "file"}
# Who must be able to hear what, for the object to stay while nobody else holds it (WebSockets §7).
_HEARD = {
    State.CONNECTING: ("open", "message", "error", "close"),
    State.OPEN: ("message", "error", "close"),
    State.CLOSING: ("error", "close"),
}


class WebSocket(EventTarget):
    """A connection to a server, which it begins to make at once.

    As in a browser, everything is told by events: ``open``, then ``message`` for each message, then ``close``; ``error`` before
    ``close`` if something failed. Each comes in a callback of the event loop of its own, never within a call of yours.

    Beside listeners there is Python's way: ``await ws`` waits until it is open and raises what failed, ``async for message in ws``
    iterates over messages, ``async with WebSocket(url) as ws`` closes it in the end.

    Messages go to one of the two. To listeners as they come, by default; a message that nobody listens for is dropped, as in a
    browser. From ``await ws``, ``async with`` or iteration on, messages that no listener takes wait for iteration instead: at
    most ``limits.queue_messages`` and ``limits.queue_bytes``, then TCP slows the server down.

    An object with listeners that may still be called, or that somebody awaits, stays alive without being held. One that nobody
    can hear any more may be collected: its connection is closed after what was sent.
    """

    CONNECTING = State.CONNECTING
    OPEN = State.OPEN
    CLOSING = State.CLOSING
    CLOSED = State.CLOSED

    on_open: Handler[Event] = Handler("open")
    on_message: Handler[MessageEvent] = Handler("message")
    on_error: Handler[ErrorEvent] = Handler("error")
    on_close: Handler[CloseEvent] = Handler("close")
    onopen = on_open
    onmessage = on_message
    onerror = on_error
    onclose = on_close

    # Set before anything can fail, for the destructor.
    _ready_state = State.CLOSED

    def __init__(
        self, url: str, protocols: str | Iterable[str] | Mapping[str, Any] = (), **options: Unpack[LinkOptions]
    ) -> None:
        """Begin to connect.

        Args:
            url: absolute, ``ws``, ``wss``, ``http`` or ``https``, without a fragment.
            protocols: the subprotocol to ask for, or several, the favorite first. If the server agrees to none, it fails.
                Or a dictionary that has them under ``"protocols"``, as newer browsers take it.
            options: for :func:`everwire.connect`: ``ssl``, ``additional_headers``, ``origin``, ``max_size``, ``limits`` and so on.

        Raises:
            UsageError: the URL, a subprotocol or an option cannot be, or no event loop is running; the text says what to do.
        """
        super().__init__()
        loop = running_loop("WebSocket")
        self._url = normalized(url)
        if isinstance(protocols, Mapping):
            protocols = protocols.get("protocols", ())
        wanted = subprotocol.checked([protocols] if isinstance(protocols, str) else protocols)
        self._origin = origin(self._url)
        self._loop = loop
        self._binary_type = "bytes"
        self._protocol = self._extensions = ""
        self._opened: Outcome[None] = Outcome(loop, self)
        self._ended: Outcome[CloseEvent] = Outcome(loop, self)
        self._waiting = 0
        self._closed_by_us = False
        self._dropped = 0
        self._is_pulled = False
        self._pulls = 0
        self._is_awaited = False
        self._link = Link(self, self._url, wanted, options, loop)
        self._ready_state = State.CONNECTING

    # What it is

    @property
    def url(self) -> str:
        """Where it leads, as browsers write URLs."""
        return self._url

    @property
    def ready_state(self) -> State:
        """``CONNECTING`` (0), ``OPEN`` (1), ``CLOSING`` (2) or ``CLOSED`` (3)."""
        if self._ready_state is State.OPEN and not self._link.pending:
            wire = self._link.wire
            if wire is not None and wire.state >= State.CLOSING:
                return State.CLOSING
        return self._ready_state

    @property
    def buffered_amount(self) -> int:
        """Bytes of messages that were sent, but not taken by the system yet; what was sent after the end stays counted."""
        outgoing = self._link.outgoing
        return self._dropped if outgoing is None else outgoing.amount

    @property
    def protocol(self) -> str:
        """The subprotocol that the server agreed to; empty before it is open, and if there is none."""
        return self._protocol

    @property
    def extensions(self) -> str:
        """The extensions that the server agreed to; empty before it is open, and if there are none."""
        return self._extensions

    @property
    def binary_type(self) -> str:
        """What binary messages come as: ``"bytes"``, ``"memoryview"``, or ``"file"`` (:class:`io.BytesIO`).

        ``"arraybuffer"`` and ``"blob"`` may be set, too: they mean ``"bytes"`` and ``"file"``.
        """
        return self._binary_type

    @binary_type.setter
    def binary_type(self, name: str) -> None:
        if name not in _BINARY_TYPES:
            raise UsageError(f"there is no binary type {name!r}: use {', '.join(map(repr, _BINARY_TYPES))}")
        self._binary_type = _BINARY_TYPES[name]

    # What it does

    def send(self, data: str | bytes | bytearray | memoryview | File | Any) -> None:
        """Send a message, without waiting. When it closes already, the message is dropped, and counted in :attr:`buffered_amount`.

        Args:
            data: ``str`` for a text message; lone surrogates become U+FFFD. Bytes-like for a binary one: ``memoryview`` of any
                format, :mod:`array`, and so on; it is copied. Or a file, from where it stands to its end: it is read when what was
                sent before has gone, in a thread, and must stay open until then; text files make text messages. If reading
                fails, the connection does (1011).

        Raises:
            LimitExceeded: ``limits.output`` bytes wait already; nothing was queued, and the connection stays open.
            TypeError: it is none of these.
            UsageError: it is not open yet: wait for ``open``.
        """
        file = data if is_file(data) else None
        message = b"" if file is not None else payload(data)
        if self._ready_state is State.CONNECTING:
            raise UsageError("the WebSocket is not open yet: send when the open event has come, or after awaiting it")
        outgoing = self._link.outgoing
        if self._ready_state is State.OPEN and outgoing is not None:
            if file is not None:
                outgoing.send_file(file)
            else:
                outgoing.send(message)
        elif outgoing is not None:
            outgoing.drop(size_of(message))
        else:
            self._dropped += size_of(message)

    def send_json(self, value: Any) -> None:
        """Send a value as JSON, in a text message.

        Raises:
            LimitExceeded: as :meth:`send`.
            TypeError: it has no form in JSON.
            UsageError: it is not open yet.
            ValueError: it holds a number that JSON does not have (NaN, infinity).
        """
        self.send(json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False))

    def close(self, code: int | None = None, reason: str = "") -> None:
        """Begin to close: when what was sent before has gone, the peer is told, and ``close`` comes when it has answered.

        The answer has ``close_timeout``; what was sent before has as long as the peer is alive.

        While it connects, it fails instead: ``error``, then ``close`` with 1006. When it closes already, nothing happens. Messages
        that come after the call are dropped.

        Args:
            code: 1000, or 3000 to 4999; ``None`` for none, or for 1000 if there is a reason.
            reason: at most 123 bytes in UTF-8; lone surrogates become U+FFFD.

        Raises:
            TypeError: they are no number, no text.
            UsageError: a code that programs must not send, or a reason that is too long; nothing happened.
        """
        code, reason = checked(code, reason)
        if self._ready_state is State.CONNECTING:
            self._ready_state = State.CLOSING
            self._link.stop_opening()
            self._loop.call_soon(self._fail, UsageError("the WebSocket was closed before it was open"))
        elif self._ready_state is State.OPEN:
            assert self._link.outgoing is not None
            self._link.outgoing.close(code, reason)
            self._ready_state = State.CLOSING
            self._closed_by_us = True
        self._on_listeners_changed()

    async def wait_closed(self) -> CloseEvent:
        """Wait for the end, by whomever; the same event as listeners get."""
        return await self._ended

    def __await__(self) -> Generator[Any, None, Self]:
        """Wait until it is open; gives the object itself. Messages wait for iteration from now on, if nobody listens.

        Raises:
            HandshakeFailed, OSError, TimeoutError: as :func:`everwire.connect`.
            UsageError: it was closed meanwhile.
        """
        self._pull()
        self._is_awaited = True
        yield from self._opened.__await__()
        return self

    async def __aenter__(self) -> Self:
        try:
            return await self
        except asyncio.CancelledError:
            self.close()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close(1000 if kind is None else None)
        await self._ended

    def __aiter__(self) -> Self:
        """Iterate over messages, as :attr:`binary_type` says, until the end; it may be left and entered again.

        It ends when both sides closed with 1000, 1001 or no code, and after :meth:`close`.

        Raises:
            ConnectionClosedError: it ended otherwise.
            HandshakeFailed, OSError, TimeoutError, UsageError: it did not open.
            UsageError: there are listeners for messages, or somebody else iterates.
        """
        self._pull()
        self._check_iteration()
        return self

    async def __anext__(self) -> str | bytes | memoryview | io.BytesIO:
        self._pull()
        self._check_iteration()
        self._is_awaited = True
        self._pulls += 1
        try:
            await self._opened
            wire = self._link.wire
            assert wire is not None
            if self._closed_by_us:
                raise StopAsyncIteration
            message = await wire.__anext__()
            # What was on its way when the program closed is not for it any more.
            if self._closed_by_us:
                raise StopAsyncIteration
        except (ConnectionClosed, StopAsyncIteration):
            if self._closed_by_us:
                raise StopAsyncIteration from None
            # The listeners hear of the end first.
            await self._ended
            raise
        finally:
            self._pulls -= 1
        return self._converted(message)

    def __repr__(self) -> str:
        return f"<WebSocket {self.ready_state.name} {hidden_url(self._url)}>"

    def __del__(self) -> None:
        if self._ready_state is not State.CLOSED:
            self._link.abandon_soon()

    # What happens to it: the link calls, each in a callback of its own

    def _on_open(self, wire: Wire) -> None:
        if self._ready_state is not State.CONNECTING:
            wire.abort()
            return
        self._ready_state = State.OPEN
        self._protocol = wire.subprotocol or ""
        self._extensions = extensions_of(wire)
        if self._has_listener("message") or not self._is_pulled:
            self._link.read()
        self._opened._resolve(None)
        self._on_listeners_changed()
        self._tell(Event("open"))

    def _on_failed(self, error: Exception) -> None:
        if self._ready_state is State.CONNECTING:
            self._fail(error)

    def _on_message(self, message: str | bytes) -> None:
        if self._ready_state is State.OPEN:
            self._tell(MessageEvent("message", data=self._converted(message), origin=self._origin))

    def _on_end(self, closed: ConnectionClosed) -> None:
        outgoing = self._link.outgoing
        assert outgoing is not None
        outgoing.end(everything_left=closed.clean)
        failure = outgoing.broken or (None if closed.clean else closed)
        self._finish(failure, CloseEvent("close", was_clean=closed.clean, code=closed.code, reason=closed.reason))

    def _fail(self, error: Exception) -> None:
        self._opened._reject(error)
        if not self._has_listener("error", "close") and not self._is_awaited:
            logging.getLogger("everwire.browser").warning("connecting to %s failed: %s", hidden_url(self._url), error)
        self._finish(error, CloseEvent("close", code=1006))

    def _finish(self, failure: BaseException | None, event: CloseEvent) -> None:
        self._ready_state = State.CLOSED
        if failure is not None:
            self._tell(ErrorEvent("error", error=failure))
        self._tell(event)
        self._ended._resolve(event)
        self._on_listeners_changed()

    def _tell(self, event: Event) -> None:
        event.is_trusted = True
        self._fire(event)

    def _converted(self, message: str | bytes) -> str | bytes | memoryview | io.BytesIO:
        if isinstance(message, str) or self._binary_type == "bytes":
            return message
        return memoryview(message) if self._binary_type == "memoryview" else io.BytesIO(message)

    # Who gets messages, and who holds the object

    def _pull(self) -> None:
        """Leave messages to iteration from now on, unless somebody listens."""
        if not self._is_pulled:
            self._is_pulled = True
            if not self._has_listener("message"):
                self._link.stop_reading()

    def _check_iteration(self) -> None:
        if self._has_listener("message"):
            raise UsageError("messages go to the listeners for message events: remove them, or do not iterate")
        if self._pulls:
            raise UsageError("another task iterates over this WebSocket: messages have an order, and one receiver")

    def _before_listening(self, type: str) -> None:
        if type == "message" and self._pulls:
            raise UsageError("a task iterates over this WebSocket: leave the iteration before listening for messages")

    def _on_listeners_changed(self) -> None:
        state = self._ready_state
        if state is State.OPEN and self._link.wire is not None:
            if self._has_listener("message") or not self._is_pulled:
                self._link.read()
            else:
                self._link.stop_reading()
        if state is not State.CLOSED or self._link.kept is not None:
            is_heard = self._waiting or self._has_listener(*_HEARD.get(state, ()))
            self._link.kept = self if is_heard else None

    def _on_waiting(self, change: int) -> None:
        self._waiting += change
        self._on_listeners_changed()

    def _on_deserted(self, outcome: Outcome[Any]) -> None:
        """Nothing follows from that."""

    readyState = ready_state
    bufferedAmount = buffered_amount

    @property
    def binaryType(self) -> str:
        """:attr:`binary_type` in JavaScript's words: ``"arraybuffer"`` for bytes, ``"blob"`` for files."""
        return "blob" if self._binary_type == "file" else "arraybuffer"

    @binaryType.setter
    def binaryType(self, name: str) -> None:
        self.binary_type = name
