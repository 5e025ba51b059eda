"""One WebSocket that stays while connections come and go: messages in, messages out, and its end."""

from __future__ import annotations

import asyncio
import collections
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator, Sequence
from types import TracebackType
from typing import Any, Literal, Self, Unpack, overload

from ..client import ClientConnection, DialerOptions, HandshakeOptions, Pace, backoff, process_exception
from ..close import Close, objection
from ..connection import BytesLike, Data, wait_for_room
from ..errors import ConnectionClosed, ConnectionClosedOK, UsageError
from ..http import HeadersLike
from .backlog import Backlog, Overflow
from .connector import Connector, ValueOrFunction
from .status import LinkState, LinkStatus
from .supervisor import OnOpen, ProcessException, Supervisor

__all__ = ["ReconnectingWebSocket"]

UNREAD = 8
"""Of how many lost connections messages are kept that nobody has received yet."""


class ReconnectOptions(HandshakeOptions, DialerOptions, total=False):
    """What :func:`~everwire.connect` takes, and each of its connections is made with."""

    create_connection: Callable[..., ClientConnection] | None


class ReconnectingWebSocket:
    """A WebSocket client that connects again whenever the connection is lost, until it is closed or refused for good.

    ``async with ReconnectingWebSocket(url) as ws:`` waits for the first connection, and closes in the end; :meth:`start` does not
    wait. Use it as a connection: ``await ws.send(message)``, ``async for message in ws``. What is sent while the connection is away
    waits in order, in bounds. There are never two connections at once. All of it belongs to one event loop.

    Delivery is at most once: a message that a connection took, and that then broke, may have arrived or not.

    Args:
        uri: a ``ws://`` or ``wss://`` URL. This, headers, subprotocols and the token may each be a function or coroutine
            function: it is asked anew for every attempt.
        additional_headers: further fields of the request.
        subprotocols: to offer, the favorite first.
        token: sent as ``Authorization: Bearer``.
        on_open: a function or coroutine function, called with each new :class:`~everwire.ClientConnection` before anything
            that waits is sent on it: to authenticate, or to subscribe again. What it raises is a failure of the attempt.
        on_state: a function, called with each new :class:`~everwire.LinkStatus`.
        on_drop: a function, called with each message that will not be sent, and why.
        queue_messages: how many messages may wait while the connection is away.
        queue_bytes: how many bytes of them.
        overflow: what happens to one more: ``"refuse"`` raises :exc:`LimitExceeded` in ``send()``, ``"newest"`` drops it,
            ``"oldest"`` drops those that wait longest.
        open_timeout: seconds for one attempt: asking, connecting, the handshake, and ``on_open``.
        process_exception: tells of a failed attempt, or of the end of a connection, whether it is final (an exception, to be
            raised) or not (``None``); by default as :func:`everwire.reconnect.verdict` has it.
        reconnect_delays: makes the seconds to wait before each attempt, from the first failure on until a connection has lived
            for a minute; where they end, so does this. By default random(0, min(20, 0.5 * 2 ** n)). ``Retry-After`` comes on
            top.
        logger: where to log; ``everwire.client`` by default.
        options: the other arguments of :func:`~everwire.connect`, but ``sock``.

    Raises:
        UsageError: the arguments do not fit together; the text says what to do.
    """

    def __init__(
        self,
        uri: ValueOrFunction[str],
        *,
        additional_headers: ValueOrFunction[HeadersLike | None] = None,
        subprotocols: ValueOrFunction[Sequence[str] | None] = None,
        token: ValueOrFunction[str | None] = None,
        on_open: OnOpen | None = None,
        on_state: Callable[[LinkStatus], object] | None = None,
        on_drop: Callable[[Data, Exception], object] | None = None,
        queue_messages: int = 1024,
        queue_bytes: int = 2**20,
        overflow: Overflow = "refuse",
        open_timeout: float | None = 10,
        process_exception: ProcessException = process_exception,
        reconnect_delays: Callable[[], Iterator[float]] = backoff,
        logger: logging.Logger | logging.LoggerAdapter[Any] | None = None,
        **options: Unpack[ReconnectOptions],
    ) -> None:
        if overflow not in ("oldest", "newest", "refuse"):
            raise UsageError(f'overflow is "oldest", "newest" or "refuse", not {overflow!r}')
        for name, callback in (("on_state", on_state), ("on_drop", on_drop)):
            if inspect.iscoroutinefunction(callback):
                raise UsageError(f"{name} must be a plain function: nobody would await it; or watch states() in a task")
        settings = {"open_timeout": open_timeout, "logger": logger, **options}
        connector = Connector(uri, additional_headers, subprotocols, token, settings)
        logger = logger or logging.getLogger("everwire.client")
        self._supervisor = Supervisor(
            self, connector, Pace(reconnect_delays), process_exception, on_open, open_timeout, logger
        )
        self._on_state, self._on_drop = on_state, on_drop
        self._backlog = Backlog(queue_messages, queue_bytes, overflow, self._dropped)
        # Connections that may hold messages: lost ones, and the one that is open.
        self._sources: collections.deque[ClientConnection] = collections.deque(maxlen=UNREAD + 1)
        self._sending = asyncio.Lock()
        self._is_receiving = False

    # Status

    @property
    def status(self) -> LinkStatus:
        """What it is doing now: state, number of the attempt, next delay, last error."""
        return self._supervisor.status.now

    @property
    def state(self) -> LinkState:
        """``"new"``, ``"connecting"``, ``"open"``, ``"waiting"``, ``"closing"`` or ``"closed"``."""
        return self._supervisor.status.now.state

    @property
    def connection(self) -> ClientConnection | None:
        """The connection, while there is one: for pings, its addresses, what the handshake agreed on."""
        return self._supervisor.connection

    @property
    def queued_messages(self) -> int:
        """How many messages wait for a connection."""
        return len(self._backlog)

    @property
    def queued_bytes(self) -> int:
        """How many bytes of messages wait for a connection."""
        return self._backlog.size

    def states(self) -> AsyncIterator[LinkStatus]:
        """Watch: the status now, then each new one, to the last: ``closed``. Of who is slow, the last 64 wait."""
        return self._supervisor.status.watch()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.state}>"

    # Commands

    def start(self) -> None:
        """Begin to connect, and do not wait; ``async with`` does both.

        Raises:
            UsageError: it was started, or closed, already.
        """
        if self.state != "new":
            raise UsageError(f"this is {self.state} already: make a new one")
        self._supervisor.start()

    def reconnect(self) -> None:
        """Connect now, with a new connection: ends a wait, begins an attempt anew, leaves a connection that is open.

        An open one gets a second for its closing handshake. Returns at once: :meth:`wait_open` waits for the new one.

        Raises:
            UsageError: it is not started yet, or closed, or this is not its event loop.
        """
        self._supervisor.check_started()
        if self.state in ("closing", "closed"):
            raise UsageError(f"this is {self.state}: make a new one")
        self._supervisor.reconnect()

    def wake(self) -> None:
        """Hint that the network may be another one, or there again, as after a sleep.

        A wait ends and an attempt begins anew; an open connection is replaced only if somebody waits in :meth:`recv`, and no answer
        to a ping comes within 5 seconds.

        Raises:
            UsageError: this is not its event loop: from another thread use ``loop.call_soon_threadsafe``.
        """
        if self.state == "new":
            return
        self._supervisor.check_started()
        if self.state in ("connecting", "waiting"):
            self.reconnect()
        elif self.state == "open":
            self._supervisor.probe()

    async def wait_open(self) -> None:
        """Wait until there is a connection; returns at once if there is one.

        Raises:
            ConnectionClosedOK: it was closed.
            Exception: it was refused for good; this is why.
            UsageError: it is not started yet, or this is not its event loop.
        """
        self._supervisor.check_started()
        while self.state != "open":
            if self.state == "closed":
                raise self._supervisor.end()
            await self._supervisor.status.change()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """End it, whatever it is doing, and wait for the end; there is no way back.

        An open connection gets a closing handshake, bounded by ``close_timeout``. What waits to be sent is dropped. Cancelling the
        wait does not undo it.

        Args:
            code: 1000 to 1014 but 1004, 1005 and 1006, or 3000 to 4999.
            reason: at most 123 bytes in UTF-8.

        Raises:
            UsageError: there is no such code, or the reason is too long; nothing is closed.
        """
        if wrong := objection(code, reason):
            raise UsageError(wrong)
        if self.state != "new":
            self._supervisor.check_started()
        self._supervisor.close(Close(code, reason))
        while self.state != "closed":
            await self._supervisor.status.change()

    async def wait_closed(self) -> None:
        """Wait until it is closed, or refused for good; :attr:`status` tells why."""
        while self.state != "closed":
            await self._supervisor.status.change()

    async def __aenter__(self) -> Self:
        self.start()
        try:
            await self.wait_open()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close(1000 if kind is None else 1011)

    # Messages

    async def send(self, message: str | BytesLike, text: bool | None = None) -> Awaitable[None]:
        """Send one message on the connection, or let it wait for the next one.

        Waits only for an open connection's output to fall below its high-water mark; if cancelled then, nothing was sent.
        Messages keep their order. Awaiting what this returns waits until a connection has taken the message; cancelling it
        withdraws a message that still waits.

        Args:
            message: a text frame if ``str``, a binary frame if bytes-like.
            text: ``True`` sends bytes as text, ``False`` sends text as binary; ``None`` goes by the type.

        Raises:
            ConnectionClosedOK: it was closed.
            Exception: it was refused for good; this is why.
            LimitExceeded: it has to wait, and is larger than the queue, or no more can wait and the policy is to refuse. Raised by
                what this returns: it was dropped to make room.
            TypeError: the message is neither text nor bytes-like.
            UsageError: it is not started yet, or this is not its event loop.
            ValueError: ``text=True``, and the bytes are not UTF-8.
        """
        data = _checked(message, text)
        self._supervisor.check_started()
        async with self._sending:
            connection = self._supervisor.connection
            if connection is not None:
                try:
                    await self._send_waiting(connection)
                    await connection.send(data)
                    return _SENT
                except ConnectionClosed:
                    pass  # nothing was sent: the message waits for the next connection
            if self.state in ("closing", "closed"):
                raise self._supervisor.end()
            receipt = asyncio.get_running_loop().create_future()
            self._backlog.put(data if isinstance(data, str) else bytes(data), receipt)
        return receipt

    @overload
    async def recv(self, decode: None = None) -> Data: ...
    @overload
    async def recv(self, decode: Literal[True]) -> str: ...
    @overload
    async def recv(self, decode: Literal[False]) -> bytes: ...
    async def recv(self, decode: bool | None = None) -> Data:
        """Receive one message, from this connection or the next: it waits across losses. If cancelled, no message is lost.

        What came before a loss is received first, of the last eight connections that were lost.

        Args:
            decode: as for a connection's ``recv()``.

        Raises:
            ConnectionClosedOK: it was closed, or the server closed with 1000.
            Exception: it was refused for good; this is why.
            UsageError: another task receives, it is not started yet, or this is not its event loop.
        """
        self._supervisor.check_started()
        if self._is_receiving:
            raise UsageError("another task receives: messages have an order, and one receiver")
        self._is_receiving = True
        try:
            while True:
                if self._sources:
                    connection = self._sources[0]
                    try:
                        return await connection.recv(decode)
                    except ConnectionClosed:
                        if self._sources and self._sources[0] is connection:
                            self._sources.popleft()
                elif self.state == "closed":
                    raise self._supervisor.end()
                else:
                    await self._supervisor.status.change()
        finally:
            self._is_receiving = False

    def __aiter__(self) -> Self:
        """Receive until the end, across losses; ends when it was closed, or when the server closed with 1000.

        Raises:
            Exception: it was refused for good; this is why.
        """
        return self

    async def __anext__(self) -> Data:
        try:
            return await self.recv()
        except ConnectionClosedOK:
            raise StopAsyncIteration from None

    # What the supervisor calls

    def _changed(self, status: LinkStatus) -> None:
        if self._on_state is not None:
            self._call("on_state", self._on_state, status)

    def _adopt(self, connection: ClientConnection) -> None:
        self._sources.append(connection)

    async def _flush(self, connection: ClientConnection) -> None:
        async with self._sending:
            await self._send_waiting(connection)

    def _ended(self, why: Exception) -> None:
        self._backlog.fail(why)

    async def _send_waiting(self, connection: ClientConnection) -> None:
        """Send what waits; for whoever has the lock. A message leaves the queue when the connection has taken it."""
        while (entry := self._backlog.first()) is not None:
            await wait_for_room(connection)
            if entry.receipt.cancelled():
                continue
            await connection.send(entry.message)
            self._backlog.sent(entry)

    def _dropped(self, message: Data, why: Exception) -> None:
        if self._on_drop is not None:
            self._call("on_drop", self._on_drop, message, why)

    def _call(self, name: str, function: Callable[..., object], *arguments: object) -> None:
        try:
            function(*arguments)
        except Exception as error:
            context = {"message": f"{name} of {self!r} failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)


class _Sent:
    """What ``send()`` returns for a message that a connection has taken."""

    def __await__(self) -> Generator[Any, None, None]:
        return
        yield


_SENT = _Sent()


def _checked(message: Any, text: bool | None) -> str | BytesLike:
    if isinstance(message, str):
        return message.encode() if text is False else message
    if isinstance(message, bytes | bytearray | memoryview):
        return bytes(message).decode() if text else message
    raise TypeError(
        f"message must be str or bytes-like, not {type(message).__name__}; parts cannot be sent across connections"
    )
