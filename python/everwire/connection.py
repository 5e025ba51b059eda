"""One WebSocket connection, of either side: messages in, messages out, and its end."""

from __future__ import annotations

import asyncio
import enum
import logging
import secrets
import uuid
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Iterable, Mapping
from typing import Any, Literal, overload

from . import _core
from .close import Close
from .errors import (
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    LimitExceeded,
    ProtocolError,
    UsageError,
)
from .handshake import Request, Response, parse_request, parse_response

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
    _logger: logging.Logger | logging.LoggerAdapter[Any] | None = None
    _parsed_request: Request | None = None
    _parsed_response: Response | None = None
    _subprotocol: str | None = None
    _ending: ConnectionClosed | None = None
    _closed_waiter: asyncio.Future[None] | None = None
    _drained_waiter: asyncio.Future[None] | None = None
    _pings: dict[bytes, tuple[asyncio.Future[float], float]] | None = None
    _ping_latency: float | None = None
    _sending: asyncio.Lock | None = None
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
    def latency(self) -> float:
        """Round trip of the last answered ping, in seconds; 0 before the first."""
        return self._heartbeat_latency if self._ping_latency is None else self._ping_latency

    @property
    def close_code(self) -> int | None:
        """The close code (RFC 6455 §7.1.5), once the connection is closed: 1006 if no close frame came."""
        return None if self._ending is None else self._ending.code

    @property
    def close_reason(self) -> str | None:
        """The peer's close reason, once the connection is closed."""
        return None if self._ending is None else self._ending.reason

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.state.name} {self.id}>"

    # Receiving: recv() and iteration are the engine's

    @overload
    def recv_streaming(self, decode: Literal[True]) -> AsyncIterator[str]: ...
    @overload
    def recv_streaming(self, decode: Literal[False]) -> AsyncIterator[bytes]: ...
    @overload
    def recv_streaming(self, decode: bool | None = None) -> AsyncIterator[Data]: ...
    async def recv_streaming(self, decode: bool | None = None) -> AsyncIterator[Data]:
        """Receive one message in parts, as they come; texts are cut between characters.

        Leaving it before the end drops the rest of the message.

        Raises:
            ConnectionClosed: before or within the message.
            UsageError: another task receives.
        """
        finished = False
        self._set_streaming(True)
        try:
            while not finished:
                part, finished = await self._recv_part()
                if decode is True and isinstance(part, bytes):
                    part = part.decode()
                elif decode is False and isinstance(part, str):
                    part = part.encode()
                yield part
        finally:
            if self._state < State.CLOSED:
                self._set_streaming(False)
            if not finished:
                self._skip_parts()

    # Sending: send() and send_nowait() are the engine's; what follows is for when they cannot do it at once

    async def _send(self, message: Any, text: bool | None) -> None:
        if isinstance(message, str | bytes | bytearray | memoryview) or _is_buffer(message):
            await self._send_message(message, text)
        elif isinstance(message, Mapping):
            raise TypeError("data is a dict-like object: send json.dumps(data), or its keys as a list")
        elif isinstance(message, AsyncIterable):
            await self._send_parts(message, text)
        elif isinstance(message, Iterable):
            await self._send_parts(_each(message), text)
        else:
            raise TypeError(f"data must be str, bytes, iterable, or async iterable, not {type(message).__name__}")

    async def _send_message(self, message: str | BytesLike, text: bool | None) -> None:
        # A fragmented message goes first if one is under way; a lock keeps the order of those who wait.
        if self._sending is not None and self._sending.locked():
            async with self._sending:
                await self._wait_for_room()
                self.send_nowait(message, text=text)
            return
        await self._wait_for_room()
        self.send_nowait(message, text=text)

    async def _send_parts(self, parts: AsyncIterable[Any], text: bool | None) -> None:
        if self._sending is None:
            self._sending = asyncio.Lock()
        async with self._sending:
            begun: type[Any] | None = None
            held: Any = None
            try:
                async for part in parts:
                    kind = str if isinstance(part, str) else bytes
                    if kind is bytes and not _is_buffer(part):
                        raise TypeError(f"data iterable must contain str or bytes, not {type(part).__name__}")
                    if begun is None:
                        begun = kind
                    elif kind is not begun:
                        raise TypeError("data iterable must contain parts of one type, all str or all bytes")
                    else:
                        await self._send_part_or_raise(held, _is_text(begun, text), fin=False)
                    held = part
                if begun is not None:
                    await self._send_part_or_raise(held, _is_text(begun, text), fin=True)
            except ConnectionClosed:
                raise
            except BaseException:
                if begun is not None and self._state == State.OPEN:
                    # Half a message is with the peer, and the other half will not come: there is no way to take it back.
                    self._close(1011, "error in fragmented message")
                raise

    async def _send_part_or_raise(self, part: Any, text: bool, fin: bool) -> None:
        await self._wait_for_room()
        if not self._send_part(part, text, fin):
            raise await self._when_closed()

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
        else:
            payload = data.encode() if isinstance(data, str) else bytes(data)
        if self._pings is None:
            self._pings = {}
        if payload in self._pings:
            raise UsageError("already waiting for a pong with the same data")
        loop = asyncio.get_running_loop()
        if self._state != State.OPEN or not self._ping(payload):
            raise await self._when_closed()
        pong = loop.create_future()
        self._pings[payload] = (pong, loop.time())
        return pong

    async def pong(self, data: str | BytesLike = b"") -> None:
        """Send a pong that nobody asked for (RFC 6455 §5.5.3): a one-way heartbeat.

        Raises:
            ConnectionClosed: the closing handshake has begun.
        """
        if self._state != State.OPEN or not self._pong(data):
            raise await self._when_closed()

    # The end

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Perform the closing handshake (RFC 6455 §7) and wait for its end; does nothing on a closed connection.

        Bounded by ``close_timeout``, whatever the peer does. Cancelling the wait does not undo the closure.

        Args:
            code: 1000 to 1014 but 1004, 1005 and 1006, or 3000 to 4999.
            reason: at most 123 bytes in UTF-8.
        """
        if self._state < State.CLOSED:
            self._close(code, reason)
            await self.wait_closed()

    async def wait_closed(self) -> None:
        """Wait until the connection is closed, by whomever."""
        if self._state < State.CLOSED or self._ending is None:
            if self._closed_waiter is None:
                self._closed_waiter = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._closed_waiter)

    async def _when_closed(self) -> ConnectionClosed:
        """Wait for the end, and return how it was."""
        await self.wait_closed()
        return self._exception()

    def _exception(self) -> ConnectionClosed:
        ending = self._ending
        if ending is None:
            return ConnectionClosedError(None, None)
        exception = type(ending)(ending.rcvd, ending.sent, ending.rcvd_then_sent)
        exception.__cause__ = ending.__cause__
        return exception

    # What the engine calls

    def _closed_error(self, iterating: bool) -> Exception:
        exception = self._exception()
        return StopAsyncIteration() if iterating and isinstance(exception, ConnectionClosedOK) else exception

    def _on_closed(
        self,
        received: tuple[int | None, str] | None,
        sent: tuple[int | None, str] | None,
        received_first: bool,
        cause: tuple[str, str, int] | None,
    ) -> None:
        rcvd, ours = _close(received), _close(sent)
        both = rcvd is not None and ours is not None
        fine = both and {rcvd.code, ours.code} <= {1000, 1001, 1005}  # type: ignore[union-attr]
        kind = ConnectionClosedOK if fine else ConnectionClosedError
        self._ending = kind(rcvd, ours, received_first if both else None)
        if cause is not None and not fine:
            self._ending.__cause__ = _cause(*cause)
        for waiter in (self._closed_waiter, self._drained_waiter):
            if waiter is not None and not waiter.done():
                waiter.set_result(None)
        for pong, _ in (self._pings or {}).values():
            if not pong.done():
                pong.set_exception(self._exception())
                pong.exception()  # nobody has to await it
        self._pings = None

    def _on_drained(self) -> None:
        if self._drained_waiter is not None and not self._drained_waiter.done():
            self._drained_waiter.set_result(None)

    def _on_pong(self, data: bytes) -> None:
        pings = self._pings
        if not pings or data not in pings:
            return
        now = asyncio.get_running_loop().time()
        # A pong answers its ping and all before it (RFC 6455 §5.5.3).
        for payload in list(pings):
            pong, sent = pings.pop(payload)
            if not pong.done():
                pong.set_result(now - sent)
            if payload == data:
                self._ping_latency = now - sent
                break

    def _keep_request(self) -> None:
        head = self._head()
        if head is not None:
            self._parsed_request = parse_request(head)
            self._drop_head()

    def _keep_response(self) -> None:
        head = self._head()
        if head is not None:
            self._parsed_response = parse_response(head, b"")
            self._drop_head()


def _close(said: tuple[int | None, str] | None) -> Close | None:
    return None if said is None else Close(1005 if said[0] is None else said[0], said[1])


def _cause(kind: str, text: str, status: int) -> Exception:
    match kind:
        case "eof":
            return EOFError(text)
        case "io":
            return OSError(text)
        case "timeout":
            return TimeoutError(text)
        case "limit":
            return LimitExceeded(text)
        case "protocol" | "tls":
            return ProtocolError(text)
        case _:
            return UsageError(text) if kind == "aborted" else RuntimeError(text)


def _is_text(kind: type[Any], text: bool | None) -> bool:
    return kind is str if text is None else text


def _is_buffer(value: Any) -> bool:
    try:
        memoryview(value)
    except TypeError:
        return False
    return True


async def _each(parts: Iterable[Any]) -> AsyncIterator[Any]:
    for part in parts:
        yield part
