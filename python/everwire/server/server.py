"""A server: a task for each connection, and the orderly end."""

from __future__ import annotations

import asyncio
import contextvars
import http
import inspect
import logging
import re
import socket
import ssl as ssl_module
from collections.abc import Awaitable, Callable, Sequence
from types import CoroutineType, TracebackType
from typing import Any

from .. import _core
from ..close import objection
from ..connection import Connection, State
from ..engine import Outside, server_settings, shard_of
from ..errors import ConnectionClosed, UsageError
from ..http import Headers, Origins, Response, accept_key, plain_response
from ..tls import TLS
from .hooks import CLOSING, FAILED, Hooks, ProcessRequest, ProcessResponse, SelectSubprotocol
from .listening import is_loopback, socket_name

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
        self.server._connections.discard(self)


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
        self._handler = handler
        self._hooks = Hooks(process_request, process_response, select_subprotocol, Origins(origins), subprotocols)
        self._server_header = server_header
        self._create_connection = create_connection
        self._tls = tls
        self._options = settings
        self._context = contextvars.copy_context()
        self._shard = shard_of(self.loop)
        self._listeners: list[int] = []
        self._outside: list[asyncio.Server] = []
        self._closing: asyncio.Task[None] | None = None
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
        return bool(self._listeners or self._outside)

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The loop it runs on."""
        return self.loop

    async def serve_forever(self) -> None:
        """Serve until cancelled, then close; or until closed by somebody else. Begins to accept if that was put off."""
        try:
            if not self.is_serving() and self._closing is None:
                await self.start_serving()
            await self._when_closed()
        except asyncio.CancelledError:
            self.close()
            await self._when_closed()
            raise

    def close(self, close_connections: bool = True, code: int = 1001, reason: str = "") -> None:
        """Close in order: accept nobody, answer handshakes under way with 503, close connections, wait for handlers.

        Returns at once; :meth:`wait_closed` waits for the end. Calling it again changes nothing.

        Args:
            close_connections: ``False`` lets open connections go on until they end by themselves.
            code: the close code; 1001 (going away), or 1012 (service restart).
            reason: the close reason.

        Raises:
            UsageError: this is not the thread of the server's event loop, or a child forked from its process; or there is no
                such code, or the reason is too long. Nothing is closed.
        """
        self._check_caller()
        if wrong := objection(code, reason):
            raise UsageError(wrong)
        if self._closing is None:
            self._closing = self.loop.create_task(self._close(close_connections, code, reason))

    async def wait_closed(self) -> None:
        """Wait until everything is closed and every handler has returned.

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
            await self._listen(listening)
            self.logger.info("server listening on %s", socket_name(listening))

    async def __aenter__(self) -> Server:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
        await self._when_closed()

    async def _listen(self, listening: socket.socket) -> None:
        loopback = listening.family != socket.AF_UNIX and is_loopback(listening.getsockname()[0])
        settings = server_settings(
            self._options,
            asks=self._hooks.ask,
            origins=self._hooks.origins.for_engine,
            subprotocols=self._hooks.subprotocols,
            server_header=self._server_header,
            tls=self._tls._for_server() if isinstance(self._tls, TLS) else None,
            secure=self._tls is not None,
            loopback=loopback,
        )
        if isinstance(self._tls, ssl_module.SSLContext):
            self.logger.info("TLS by ssl.SSLContext works through asyncio; everwire.TLS(certificate, key) is faster")
            create = self.loop.create_unix_server if listening.family == socket.AF_UNIX else self.loop.create_server
            deadlines = {"ssl_handshake_timeout": "open_timeout", "ssl_shutdown_timeout": "close_timeout"}
            timeouts = {name: self._options.get(ours, 10) for name, ours in deadlines.items()}
            # Known before it waits for the first time, so that it can be closed whenever that is cancelled.
            outside = await create(
                lambda: Outside(self._shard, self._attach(settings)),
                sock=listening,
                ssl=self._tls,
                start_serving=False,
                **timeouts,
            )
            self._outside.append(outside)
            await outside.start_serving()
            return
        self._listeners.append(self._shard.listen(listening.dup().detach(), settings, self))

    def _attach(self, settings: _core.Settings) -> Callable[[Outside, tuple[str, int] | None], tuple[Connection, int]]:
        def attach(driver: Outside, peer: tuple[str, int] | None) -> tuple[Connection, int]:
            connection = self._make()
            return connection, self._shard.attach_server(connection, settings, self, driver, peer)

        return attach

    async def _close(self, close_connections: bool, code: int, reason: str) -> None:
        self.logger.info("server closing")
        if close_connections:
            self._farewell = code, reason
        self._stop_serving()
        # Handshakes that were accepted in this very turn become connections first.
        await asyncio.sleep(0)
        if close_connections:
            for connection in list(self._connections):
                if connection._state <= State.OPEN:
                    connection._close(code, reason)
        while self.handlers or self._connections:
            waiting = [connection.wait_closed() for connection in self._connections]
            await asyncio.gather(*waiting, *self.handlers.values(), return_exceptions=True)
            self.handlers = {connection: task for connection, task in self.handlers.items() if not task.done()}
        if not self._closed.done():
            self._closed.set_result(None)
            self.logger.info("server closed")

    def _stop_serving(self) -> None:
        for outside in self._outside:
            outside.close()
        self._outside.clear()
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

    def _request(self, connection: ServerConnection) -> None:
        try:
            self._start(connection, self._decide(connection), connection._context)
        except Exception:
            # No task, no decision.
            self._answer(connection, plain_response(500, FAILED), None)
            raise

    def _opened(self, connection: ServerConnection) -> None:
        self._connections.add(connection)
        if self._farewell is not None:
            connection._close(*self._farewell)
        context = connection._context
        del connection._context  # whoever goes on working for the connection keeps it
        result = context.run(self._handler, connection)
        if type(result) is CoroutineType or inspect.isawaitable(result):
            self._start(connection, self._supervise(connection, result), context)

    def _failed(self, connection: ServerConnection | None, failure: _core.Failure) -> None:
        cause = failure.cause
        if cause.kind != "refused":
            self.logger.debug("opening handshake failed: %s", cause.text)
        elif cause.text:
            self.logger.info("opening handshake refused with %d: %s", cause.number, cause.text)

    def _starved(self, text: str) -> None:
        self.logger.error("accepting pauses for a moment: %s", text)

    def _start(self, connection: ServerConnection, coroutine: Any, context: contextvars.Context) -> None:
        task = self.loop.create_task(coroutine, context=context)
        if not task.done():
            self.handlers[connection] = task

    async def _supervise(self, connection: ServerConnection, handling: Awaitable[None]) -> None:
        code = 1000
        try:
            await handling
        except ConnectionClosed as closed:
            # The handler was receiving or sending when the connection ended: no fault of this program.
            connection.logger.debug("connection handler ended by the peer: %s", closed)
        except Exception:
            connection.logger.exception("connection handler failed")
            code = 1011
        except GeneratorExit:
            # The loop went away with this task, and with the connection.
            raise
        except BaseException:
            if connection._state == State.OPEN:
                connection._close(1001, "")
            self.handlers.pop(connection, None)
            raise
        if connection._state < State.CLOSED:
            await connection.close(code)
        self.handlers.pop(connection, None)

    async def _decide(self, connection: ServerConnection) -> None:
        try:
            await self._hooks.decide(connection, self._shard, self._answer)
        finally:
            if self.handlers.get(connection) is asyncio.current_task():
                del self.handlers[connection]

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
