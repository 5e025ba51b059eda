"""One WebSocket connection, of either side: messages in, messages out, and its end."""

from __future__ import annotations

import asyncio
import enum
import logging
import os
import secrets
import socket
import time
import uuid
import weakref
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Iterable, Mapping
from types import TracebackType
from typing import Any, Literal, Self, overload

from .. import _core
from ..close import objection
from ..errors import (
    ConnectionClosed,
    ConnectionClosedError,
    UsageError,
)
from ..http import Request, Response, parse_response
from .closed import exception_of, is_planned
from .streaming import MessageStream, each, is_buffer, send_in_pieces, send_streaming, turn_to_send

__all__ = ["BytesLike", "Connection", "Data", "State"]

BytesLike = bytes | bytearray | memoryview
"""What can be sent as a binary message."""
Data = str | bytes
"""What is received: text as ``str``, binary as ``bytes``."""


class State(enum.IntEnum):
    """Where a connection is in its life; the numbers are those of browsers."""

    CONNECTING, OPEN, CLOSING, CLOSED = range(4)


class Connection(_core.Connection):
    """A WebSocket connection; :func:`~everwire.serve` and :func:`~everwire.connect` make them.

    ``async for message in connection`` receives until a normal closure. Attributes of your own may be set on it, and weak
    references made. All of it belongs to one event loop; other threads go through ``loop.call_soon_threadsafe``.
    """

    # Made on demand, so that a connection that nobody looks at costs little.
    _id: uuid.UUID | None = None
    _parsed_request: Request | None
    _logger: logging.Logger | logging.LoggerAdapter[Any] | None = None
    _parsed_response: Response | None = None
    _extension: str | None = None
    _local: Any = None
    _ending: _core.Ending | None = None
    _closed_waiter: asyncio.Future[None] | None = None
    _drained_waiter: asyncio.Future[None] | None = None
    _pings: dict[bytes, tuple[asyncio.Future[float], float]] | None = None
    # What our own ping measured, and what the last heartbeat had before it.
    _ping_latency: tuple[float, float] | None = None
    _sending: asyncio.Lock | None = None
    _is_mid_message: bool = False
    _base_logger: logging.Logger | logging.LoggerAdapter[Any] = logging.getLogger("everwire")

    # Who and where

    @property
    def id(self) -> uuid.UUID:
        """A random identifier, for logs."""
        if self._id is None:
            self._id = uuid.uuid4()
        return self._id

    @property
    def logger(self) -> logging.Logger | logging.LoggerAdapter[Any]:
        """Where this connection logs; an adapter adds the connection as ``websocket``."""
        if self._logger is None:
            self._logger = logging.LoggerAdapter(self._base_logger, {"websocket": self})
        return self._logger

    @property
    def state(self) -> State:
        """Where the connection is in its life."""
        return State(self._state)

    @property
    def request(self) -> Request | None:
        """The request of the opening handshake."""
        if self._parsed_request is None:
            self._keep_request()
        return self._parsed_request

    @property
    def response(self) -> Response | None:
        """The response of the opening handshake."""
        return self._parsed_response

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that was agreed, if one was."""
        response = self.response
        return None if response is None else response.headers.get("Sec-WebSocket-Protocol")

    @property
    def remote_address(self) -> Any:
        """The peer: host and port; of a client behind trusted proxies its own; empty for Unix sockets."""
        return self._client() or ""

    @property
    def local_address(self) -> Any:
        """Our own end: host and port, or the path of a Unix socket; ``None`` if nobody asked before the connection ended."""
        if self._local is None:
            descriptor = self._fileno()
            if descriptor is not None:
                with socket.socket(fileno=os.dup(descriptor)) as own:
                    self._local = own.getsockname()
        return self._local[:2] if isinstance(self._local, tuple) else self._local  # IPv6 has four

    @property
    def latency(self) -> float:
        """Round trip of the last answered ping, in seconds; 0 before the first."""
        heartbeat = self._heartbeat_latency
        if self._ping_latency is None:
            return heartbeat
        ours, before = self._ping_latency
        return ours if heartbeat in (before, 0.0) else heartbeat

    @property
    def close_code(self) -> int | None:
        """The close code (RFC 6455 §7.1.5), once the connection is closed: 1006 if no close frame came."""
        return None if self._ending is None else self._exception().code

    @property
    def close_reason(self) -> str | None:
        """The peer's close reason, once the connection is closed."""
        return None if self._ending is None else self._exception().reason

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.state.name} {self.id}>"

    # Receiving: recv() and iteration are the engine's

    @overload
    def recv_streaming(self, decode: Literal[True]) -> AsyncIterator[str]: ...
    @overload
    def recv_streaming(self, decode: Literal[False]) -> AsyncIterator[bytes]: ...
    @overload
    def recv_streaming(self, decode: bool | None = None) -> AsyncIterator[Data]: ...
    def recv_streaming(self, decode: bool | None = None) -> AsyncIterator[Data]:
        """Receive one message in parts, as they come; texts are cut between characters.

        Leaving it before the end drops the rest of the message. Cancelling the wait for a part loses nothing.

        Args:
            decode: as :meth:`recv`.

        Raises:
            ConnectionClosed: before or within the message.
            UsageError: another task receives.
        """
        return MessageStream(self, decode)

    # Sending: send() and send_nowait() are the engine's; what follows is for when they cannot do it at once

    async def _send(self, message: Any, text: bool | None) -> None:
        if isinstance(message, str | bytes | bytearray | memoryview) or is_buffer(message):
            await self._send_message(message, text)
        elif isinstance(message, Mapping):
            raise TypeError("data is a dict-like object: send json.dumps(data), or its keys as a list")
        elif isinstance(message, AsyncIterable):
            await send_streaming(self, message, text)
        elif isinstance(message, Iterable):
            await send_streaming(self, each(message), text)
        else:
            raise TypeError(f"data must be str, bytes, iterable, or async iterable, not {type(message).__name__}")

    async def _send_message(self, message: str | BytesLike, text: bool | None) -> None:
        async with turn_to_send(self):
            await self._wait_for_room()
            if not self._send_whole(message, text):
                await send_in_pieces(self, message, text)

    async def _wait_for_room(self) -> None:
        while self._state == State.OPEN and self._is_full():
            if self._drained_waiter is None or self._drained_waiter.done():
                self._drained_waiter = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._drained_waiter)
        if self._state != State.OPEN:
            raise await self._when_closed()

    async def ping(self, data: str | BytesLike | None = None) -> Awaitable[float]:
        """Send a ping (RFC 6455 §5.5.2); await what this returns for the round trip in seconds.

        Args:
            data: payload of at most 125 bytes, not that of a ping that waits already; random by default.

        Raises:
            ConnectionClosed: the closing handshake has begun.
            UsageError: the payload is too long, or in use.
        """
        if data is None:
            payload = secrets.token_bytes(4)
        elif isinstance(data, str):
            payload = data.encode()
        elif is_buffer(data):
            payload = bytes(data)
        else:
            raise TypeError(f"data must be str or bytes, not {type(data).__name__}")
        if self._pings is None:
            self._pings = {}
        if payload in self._pings:
            raise UsageError("already waiting for a pong with the same data")
        if self._state != State.OPEN or not self._ping(payload):
            raise await self._when_closed()
        pong = asyncio.get_running_loop().create_future()
        self._pings[payload] = (pong, time.perf_counter())
        return pong

    async def pong(self, data: str | BytesLike = b"") -> None:
        """Send a pong that nobody asked for (RFC 6455 §5.5.3): a one-way heartbeat.

        Raises:
            ConnectionClosed: the closing handshake has begun.
        """
        if self._state != State.OPEN or not self._pong(data):
            raise await self._when_closed()

    # The end

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close(1000 if kind is None else 1011)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Perform the closing handshake (RFC 6455 §7) and wait for its end; does nothing on a closed connection.

        Bounded by ``close_timeout``, whatever the peer does. Cancelling the wait does not undo the closure. While a message is
        being sent in parts it closes with 1011: that message will not be complete.

        Args:
            code: 1000 to 1014 but 1004, 1005 and 1006, or 3000 to 4999.
            reason: at most 123 bytes in UTF-8.

        Raises:
            UsageError: there is no such code, or the reason is too long; nothing is closed.
        """
        if wrong := objection(code, reason):
            raise UsageError(wrong)
        if self._state < State.CLOSED:
            if self._is_mid_message:
                code, reason = 1011, "close during fragmented message"
            self._close(code, reason)
            await self._wait_for_ending()

    async def wait_closed(self) -> None:
        """Wait until the connection is closed, by whomever.

        A program that does nothing else need not receive: the end is noticed behind messages that nobody takes. If more than 1,024
        of them come, or more than ``limits.queue_bytes``, they are dropped, the log says so, and receiving is an error then.

        Raises:
            UsageError: this is not the connection's event loop, or a child forked from its process.
        """
        if self._ending is None:
            self._wait_for_end(True)
            try:
                await self._wait_for_ending()
            finally:
                self._wait_for_end(False)

    async def _wait_for_ending(self) -> None:
        """The same, for somebody who does not speak for the program: others may receive, now or later."""
        if self._ending is None:
            self._is_full()  # asked for what it raises in other threads and forked children
            loop = asyncio.get_running_loop()
            if loop is not self._loop:
                raise UsageError("the connection belongs to another event loop, which does not run now")
            if self._closed_waiter is None:
                self._closed_waiter = loop.create_future()
            await asyncio.shield(self._closed_waiter)

    async def _when_closed(self) -> ConnectionClosed:
        """Wait for the end, and return how it was."""
        await self._wait_for_ending()
        return self._exception()

    def _exception(self) -> ConnectionClosed:
        """How the connection ended: a fresh exception, because raising one changes it."""
        exception: ConnectionClosed
        exception = ConnectionClosedError(None, None) if self._ending is None else exception_of(self._ending)
        exception._connection = weakref.ref(self)
        return exception

    def _is_own(self, error: BaseException) -> bool:
        """Whether an error says that this connection ended, and nothing else: that of another one is an error like any other."""
        if isinstance(error, BaseExceptionGroup):
            return all(map(self._is_own, error.exceptions))
        return isinstance(error, ConnectionClosed) and error._connection is not None and error._connection() is self

    # What the engine calls

    def _closed_error(self, iterating: bool) -> Exception:
        if iterating and self._ending is not None and is_planned(self._ending):
            return StopAsyncIteration()
        return self._exception()

    def _on_closed(self, ending: _core.Ending) -> None:
        self._ending = ending
        for waiter in (self._closed_waiter, self._drained_waiter):
            if waiter is not None and not waiter.done():
                waiter.set_result(None)
        for pong, _ in self._pings.values() if self._pings else ():
            if not pong.done():
                pong.set_exception(self._exception())
                pong.exception()  # nobody has to await it
        self._pings = None

    def _on_dropped(self) -> None:
        self.logger.warning(
            "messages are dropped: nobody has received, and the program waits for the end of the connection"
        )

    def _on_drained(self) -> None:
        if self._drained_waiter is not None and not self._drained_waiter.done():
            self._drained_waiter.set_result(None)

    def _on_pong(self, data: bytes) -> None:
        pings = self._pings
        if not pings or data not in pings:
            return
        now = time.perf_counter()  # a loop's clock may have ticks of a millisecond
        # A pong answers its ping and all before it (RFC 6455 §5.5.3).
        for payload in list(pings):
            pong, sent = pings.pop(payload)
            if not pong.done():
                pong.set_result(now - sent)
            if payload == data:
                self._ping_latency = now - sent, self._heartbeat_latency
                break

    def _keep_request(self) -> None:
        head = _core.request_head(self)
        if head is not None:
            self._extension = _core.agreed_extension(self)
            self._parsed_request = Request.parse(head)
            _core.drop_request(self)

    def _keep_response(self) -> None:
        head = _core.response_head(self)
        if head is not None:
            self._parsed_response = parse_response(head, b"")
            _core.drop_response(self)
