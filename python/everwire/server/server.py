"""A server: a task for each connection, and the orderly end."""

from __future__ import annotations

import asyncio
import contextvars
import http
import inspect
import logging
import math
import re
import socket
import ssl as ssl_module
from collections.abc import Awaitable, Callable, Sequence
from types import CoroutineType, TracebackType
from typing import Any

from .. import _core
from ..close import objection
from ..connection import Connection, State
from ..engine import SSLDriver, server_settings, shard_of
from ..errors import UsageError
from ..http import Headers, Origins, Response, accept_key, is_loopback, plain_response
from ..limits import Limits
from ..tls import TLS, server_tls
from .hooks import CLOSING, FAILED, Hooks, ProcessRequest, ProcessResponse, SelectSubprotocol
from .shutdown import HANDLER_TIMEOUT, Shutdown
from .sockets import socket_name

__all__ = ["Handler", "Server", "ServerConnection"]

Handler = Callable[["ServerConnection"], Awaitable[None] | None]
"""Takes a connection. A coroutine function runs as a task; a plain one sets callbacks and returns."""

# The engine writes these itself: they are what makes a handshake.
_OWN_FIELDS = {
    *("upgrade", "connection", "server"),
    *("sec-websocket-accept", "sec-websocket-protocol", "sec-websocket-extensions"),
}


class ServerConnection(Connection):
    """A connection that a :class:`Server` accepted.

    Attributes:
        server: who accepted it.
        username: who is at the other end, if :func:`~everwire.basic_auth` asked.
    """

    # Every connection has these: outside of a dictionary, which few then need, they take a tenth of the memory.
    __slots__ = ("_base_logger", "_context", "_extension", "server")

    username: str | None = None
    # What hooks and the handler of this connection share.
    _context: contextvars.Context

    def __init__(self, server: Server) -> None:
        self._base_logger = server.logger
        self.server: Server = server

    @property
    def response(self) -> Response | None:
        """The response of the opening handshake."""
        if self._parsed_response is None and self._state >= State.OPEN and self.request is not None:
            self._parsed_response = self._acceptance(self.subprotocol)
        return self._parsed_response

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that was agreed, if one was."""
        if self._parsed_response is None and self._state >= State.OPEN and self.request is not None:
            return self.server._hooks.choose(self.request.headers)
        return super().subprotocol

    def respond(self, status: http.HTTPStatus | int, text: str) -> Response:
        """Make a response with a text, to be returned by ``process_request``."""
        return plain_response(int(status), text)

    def _acceptance(self, subprotocol: str | None) -> Response:
        """The response that opens the connection, as the engine writes it."""
        assert self.request is not None
        headers = Headers([("Upgrade", "websocket"), ("Connection", "Upgrade")])
        headers["Sec-WebSocket-Accept"] = accept_key(self.request.headers.get("Sec-WebSocket-Key", ""))
        for name, value in (
            ("Sec-WebSocket-Protocol", subprotocol),
            ("Sec-WebSocket-Extensions", self._extension),
            ("Server", self.server._server_header),
        ):
            if value is not None:
                headers[name] = value
        return Response(101, "Switching Protocols", headers)

    # What the engine calls

    def _on_closed(self, ending: _core.Ending) -> None:
        super()._on_closed(ending)
        self.server._gone(self)

    def _on_handled(self, task: asyncio.Task[None]) -> None:
        self.server._handled(self, task)

    def _on_decided(self, task: asyncio.Task[None]) -> None:
        self.server._decided(self, task)


class Server:
    """Accepts connections and looks after them; :func:`~everwire.serve` makes it."""

    def __init__(
        self,
        handler: Handler,
        *,
        process_request: ProcessRequest | None,
        process_response: ProcessResponse | None,
        select_subprotocol: SelectSubprotocol | None,
        origins: Sequence[str | re.Pattern[str] | None] | str | None,
        subprotocols: Sequence[str],
        server_header: str | None,
        logger: logging.Logger | logging.LoggerAdapter[Any],
        create_connection: Callable[[Server], ServerConnection],
        tls: TLS | ssl_module.SSLContext | None,
        settings: dict[str, Any],
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.logger = logger
        self.sockets: tuple[socket.socket, ...] = ()
        self._connections: set[ServerConnection] = set()
        self.handlers: dict[ServerConnection, asyncio.Task[None]] = {}
        # What thinks about requests.
        self._deciding: dict[ServerConnection, asyncio.Task[None]] = {}
        self._handler = handler
        self._hooks = Hooks(process_request, process_response, select_subprotocol, Origins(origins), subprotocols)
        self._server_header = server_header
        self._create_connection = create_connection
        self._tls = tls
        self._options = settings
        self._limits: Limits = settings.get("limits") or Limits()
        self._context = contextvars.copy_context()
        self._shard = shard_of(self.loop)
        self._listeners: list[int] = []
        self._shutdown: Shutdown | None = None
        # What those hear who come when the doors are already closed.
        self._farewell: tuple[int, str] | None = None
        self._closed: asyncio.Future[None] = self.loop.create_future()

    # For programs

    @property
    def connections(self) -> set[ServerConnection]:
        """The connections that are open now: a new set, to be iterated over and kept."""
        return {connection for connection in self._connections if connection._state == State.OPEN}

    def is_serving(self) -> bool:
        """Whether new connections are accepted."""
        return bool(self._listeners)

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The loop it runs on."""
        return self.loop

    async def serve_forever(self) -> None:
        """Serve until cancelled, then close; or until closed by somebody else. Begins to accept if that was put off."""
        try:
            if not self.is_serving() and self._shutdown is None:
                await self.start_serving()
            await self._when_closed()
        except asyncio.CancelledError:
            self.close()
            await self._when_closed()
            raise

    def close(
        self,
        close_connections: bool = True,
        code: int = 1001,
        reason: str = "",
        *,
        handler_timeout: float | None = HANDLER_TIMEOUT,
    ) -> None:
        """Close in order: accept nobody, answer handshakes under way with 503, close connections, wait for handlers.

        Returns at once; :meth:`wait_closed` waits for the end. Calling it again changes nothing. Many connections are closed a few
        at a time, so that everything else goes on. A connection that has not ended ``close_timeout`` later is cut.

        Args:
            close_connections: ``False`` lets open connections go on until they end by themselves.
            code: the close code; 1001 (going away), or 1012 (service restart).
            reason: the close reason.
            handler_timeout: seconds that a handler has to return after its connection has ended; then it is cancelled, and the
                log says so. One that does not heed that is left behind two seconds later. ``None`` waits for any time.

        Raises:
            UsageError: this is not the thread of the server's event loop, or a child forked from its process; or there is no
                such code, the reason is too long, or the timeout is none. Nothing is closed.
        """
        self._check_caller()
        if wrong := objection(code, reason):
            raise UsageError(wrong)
        if handler_timeout is not None and not (
            isinstance(handler_timeout, int | float) and 0 <= handler_timeout < math.inf
        ):
            raise UsageError(f"handler_timeout must be seconds, or None; not {handler_timeout!r}")
        if self._shutdown is None:
            self._farewell = (code, reason) if close_connections else None
            self._shutdown = Shutdown(self, self._farewell, self._options.get("close_timeout", 10), handler_timeout)

    async def wait_closed(self) -> None:
        """Wait until everything is closed, and every handler has returned or was given up (see :meth:`close`).

        Raises:
            UsageError: this is not the server's event loop, or a child forked from its process.
        """
        self._check_caller()
        await self._when_closed()

    async def start_serving(self) -> None:
        """Begin to accept; only needed after ``serve(..., start_serving=False)``."""
        if self.is_serving():
            return
        for listening in self.sockets:
            self._listen(listening)
            self.logger.info("server listening on %s", socket_name(listening))

    async def __aenter__(self) -> Server:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
        await self._when_closed()

    def _listen(self, listening: socket.socket) -> None:
        loopback = listening.family != socket.AF_UNIX and is_loopback(listening.getsockname()[0])
        settings = server_settings(
            self._options,
            asks=self._hooks.ask,
            origins=self._hooks.origins.for_engine,
            subprotocols=self._hooks.subprotocols,
            server_header=self._server_header,
            tls=server_tls(self._tls) if isinstance(self._tls, TLS) else None,
            has_driver=isinstance(self._tls, ssl_module.SSLContext),
            secure=self._tls is not None,
            loopback=loopback,
        )
        if isinstance(self._tls, ssl_module.SSLContext):
            self.logger.info("TLS by ssl.SSLContext is done in Python; everwire.TLS(certificate, key) is faster")
        self._listeners.append(self._shard.listen(listening.dup().detach(), settings, self))

    def _stop_serving(self) -> None:
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            self._shard.refuse_opening(listener)
            self._shard.stop_listening(listener)
        for listening in self.sockets:
            listening.close()
        self.sockets = ()

    def _check_caller(self) -> None:
        # Asked for what it raises: other threads and forked children are told what to do.
        _ = self._shard.connections

    async def _when_closed(self) -> None:
        await asyncio.shield(self._closed)

    # What the engine calls

    def _make(self) -> ServerConnection:
        context = self._context.copy()
        connection = context.run(self._create_connection, self)
        if not isinstance(connection, ServerConnection):
            raise TypeError(f"create_connection returned {type(connection).__name__}: expected a ServerConnection")
        if connection._state != State.CONNECTING or hasattr(connection, "_context"):
            raise UsageError("create_connection returned a connection that is in use: make a new one each time")
        connection._context = context
        return connection

    def _make_driver(self) -> SSLDriver:
        """TLS for one connection; only asked for if it is an :class:`ssl.SSLContext` that does it."""
        assert isinstance(self._tls, ssl_module.SSLContext)
        return SSLDriver(self._tls, server_side=True)

    def _request(self, connection: ServerConnection) -> None:
        if self._shutdown is not None:
            return self._answer(connection, plain_response(503, CLOSING), None)
        if len(self._deciding) >= self._limits.hooks:
            return self._answer(connection, self._hooks.too_many(self._limits.hooks), None)
        try:
            decide = self._hooks.decide(connection, self._shard, self._answer)
            task = self.loop.create_task(decide, context=connection._context)
            if not task.done():
                self._deciding[connection] = task
                task.add_done_callback(connection._on_decided, context=connection._context)
        except Exception:
            # No task, no decision.
            self._answer(connection, plain_response(500, FAILED), None)
            raise

    def _withdrawn(self, connection: ServerConnection) -> None:
        # All at once while the server closes: then they are cancelled a few at a time.
        if self._shutdown is None:
            self._cancel_hook(connection)

    def _cancel_hook(self, connection: ServerConnection) -> None:
        """Cancel what thinks about a request: nobody waits for the answer any more."""
        task = self._deciding.get(connection)
        if task is not None and not task.cancelling():  # once is enough: it may be cleaning up
            task.cancel()

    def _opened(self, connection: ServerConnection) -> None:
        if self._closed.done():
            # Everything has ended; this one was answered in the very moment in which nobody was there yet.
            connection.abort()
            return
        self._connections.add(connection)
        if self._farewell is not None:
            connection._close(*self._farewell)
        context = connection._context
        del connection._context  # whoever goes on working for the connection keeps it
        result = context.run(self._handler, connection)
        if type(result) is CoroutineType or inspect.isawaitable(result):
            task = self.loop.create_task(self._supervise(connection, result), context=context)
            if not task.done():
                self.handlers[connection] = task
                task.add_done_callback(connection._on_handled, context=context)

    def _failed(self, connection: ServerConnection | None, failure: _core.Failure) -> None:
        if connection is not None:
            self._withdrawn(connection)
        cause = failure.cause
        if cause.kind != "refused":
            self.logger.debug("opening handshake failed: %s", cause.text)
        elif cause.text:
            self.logger.info("opening handshake refused with %d: %s", cause.number, cause.text)

    def _starved(self, text: str) -> None:
        self.logger.error("accepting pauses for a moment: %s", text)

    def _gone(self, connection: ServerConnection) -> None:
        self._connections.discard(connection)
        if self._shutdown is not None:
            self._shutdown.connection_closed(connection)

    # Tasks

    async def _supervise(self, connection: ServerConnection, handling: Awaitable[None]) -> None:
        code = 1000
        try:
            await handling
        except Exception as error:
            if connection._is_own(error):
                # The handler was receiving or sending when the connection ended: no fault of this program.
                connection.logger.debug("connection handler ended by the peer: %s", error)
            else:
                connection.logger.exception("connection handler failed")
                code = 1011
        except GeneratorExit:
            # The loop went away with this task, and with the connection.
            raise
        except BaseException:
            if connection._state == State.OPEN:
                connection._close(1001, "")
            raise
        if connection._state < State.CLOSED:
            await connection.close(code)

    def _handled(self, connection: ServerConnection, task: asyncio.Task[None]) -> None:
        self.handlers.pop(connection, None)
        if task.cancelled() and connection._state == State.OPEN:
            # Before its first step: nobody else is there to close.
            connection._close(1001, "")
        if self._shutdown is not None:
            self._shutdown.settle()

    def _decided(self, connection: ServerConnection, task: asyncio.Task[None]) -> None:
        self._deciding.pop(connection, None)
        if task.cancelled():
            # Before its first step, likewise.
            self._answer(connection, plain_response(503, CLOSING), None)
        if self._shutdown is not None:
            self._shutdown.settle()

    def _answer(self, connection: ServerConnection, response: Response, subprotocol: str | None) -> None:
        if connection._state != State.CONNECTING:
            return
        if response.status_code == 101 and not self.is_serving():
            response = plain_response(503, CLOSING)
        connection._parsed_response = response
        if response.status_code == 101:
            fields = [(name, value) for name, value in response.headers.raw_items() if name.lower() not in _OWN_FIELDS]
            self._shard.accept(connection, subprotocol, fields)
        else:
            fields = list(response.headers.raw_items())
            self._shard.respond(connection, response.status_code, response.reason_phrase, fields, response.body)
