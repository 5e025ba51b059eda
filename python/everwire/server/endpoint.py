"""What becomes of the connections that the engine accepts for a server: hooks, handlers, and their tasks."""

from __future__ import annotations

import asyncio
import inspect
import ssl
from collections.abc import Awaitable
from types import CoroutineType
from typing import TYPE_CHECKING

from .. import _core
from ..connection import State
from ..engine import SSLDriver
from ..errors import UsageError
from ..http import Response, plain_response
from .connection import ServerConnection
from .hooks import CLOSING, FAILED

if TYPE_CHECKING:
    from .server import Server

__all__ = ["Endpoint"]

# The engine writes these itself: they are what makes a handshake.
_OWN_FIELDS = {
    *("upgrade", "connection", "server"),
    *("sec-websocket-accept", "sec-websocket-protocol", "sec-websocket-extensions"),
}


class Endpoint:
    """Whom the engine tells about connections of a server: no part of what programs see of it."""

    __slots__ = ("_server",)

    def __init__(self, server: Server) -> None:
        self._server = server

    # What the engine calls

    def make(self) -> ServerConnection:
        """A connection for a request, or for a client that has shown itself to be one."""
        server = self._server
        context = server._context.copy()
        connection = context.run(server._create_connection, server)
        if not isinstance(connection, ServerConnection):
            raise TypeError(f"create_connection returned {type(connection).__name__}: expected a ServerConnection")
        if connection._state != State.CONNECTING or hasattr(connection, "_context"):
            raise UsageError("create_connection returned a connection that is in use: make a new one each time")
        connection._context = context
        return connection

    def make_driver(self) -> SSLDriver:
        """TLS for one connection; only asked for if it is an :class:`ssl.SSLContext` that does it."""
        assert isinstance(self._server._tls, ssl.SSLContext)
        return SSLDriver(self._server._tls, server_side=True)

    def request(self, connection: ServerConnection) -> None:
        """There is a request to decide about: by a task, unless there are too many, or the server closes."""
        server = self._server
        if server._shutdown is not None:
            return self._answer(connection, plain_response(503, CLOSING), None)
        if len(server._deciding) >= server._limits.hooks:
            return self._answer(connection, server._hooks.too_many(server._limits.hooks), None)
        try:
            decide = server._hooks.decide(connection, server._shard, self._answer)
            task = server.loop.create_task(decide, context=connection._context)
            if not task.done():
                server._deciding[connection] = task
                task.add_done_callback(connection._on_decided, context=connection._context)
        except Exception:
            # No task, no decision.
            self._answer(connection, plain_response(500, FAILED), None)
            raise

    def withdrawn(self, connection: ServerConnection) -> None:
        """The request needs no decision any more."""
        # All at once while the server closes: then they are cancelled a few at a time.
        if self._server._shutdown is None:
            self.cancel_hook(connection)

    def opened(self, connection: ServerConnection) -> None:
        """A connection is open: call the handler, in a task if it is a coroutine function."""
        server = self._server
        if server._closed.done():
            # Everything has ended; this one was answered in the very moment in which nobody was there yet.
            connection.abort()
            return
        server._connections.add(connection)
        if server._farewell is not None:
            connection._close(*server._farewell)
        context = connection._context
        del connection._context  # whoever goes on working for the connection keeps it
        result = context.run(server._handler, connection)
        if type(result) is CoroutineType or inspect.isawaitable(result):
            task = server.loop.create_task(self._supervise(connection, result), context=context)
            if not task.done():
                server.handlers[connection] = task
                task.add_done_callback(connection._on_handled, context=context)

    def failed(self, connection: ServerConnection | None, failure: _core.Failure) -> None:
        """An opening handshake came to nothing."""
        if connection is not None:
            self.withdrawn(connection)
        cause = failure.cause
        if cause.kind != "refused":
            self._server.logger.debug("opening handshake failed: %s", cause.text)
        elif cause.text:
            self._server.logger.info("opening handshake refused with %d: %s", cause.number, cause.text)

    def starved(self, text: str) -> None:
        """The system has no more descriptors: the engine tries again in a moment."""
        self._server.logger.error("accepting pauses for a moment: %s", text)

    # What connections tell

    def closed(self, connection: ServerConnection) -> None:
        """A connection has ended."""
        self._server._connections.discard(connection)
        if self._server._shutdown is not None:
            self._server._shutdown.connection_closed(connection)

    def handled(self, connection: ServerConnection, task: asyncio.Task[None]) -> None:
        """The task of a handler has ended."""
        self._server.handlers.pop(connection, None)
        if task.cancelled() and connection._state == State.OPEN:
            # Before its first step: nobody else is there to close.
            connection._close(1001, "")
        if self._server._shutdown is not None:
            self._server._shutdown.settle()

    def decided(self, connection: ServerConnection, task: asyncio.Task[None]) -> None:
        """The task of a hook has ended."""
        self._server._deciding.pop(connection, None)
        if task.cancelled():
            # Before its first step, likewise.
            self._answer(connection, plain_response(503, CLOSING), None)
        if self._server._shutdown is not None:
            self._server._shutdown.settle()

    # What the server asks for

    def cancel_hook(self, connection: ServerConnection) -> None:
        """Cancel what thinks about a request: nobody waits for the answer any more."""
        task = self._server._deciding.get(connection)
        if task is not None and not task.cancelling():  # once is enough: it may be cleaning up
            task.cancel()

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

    def _answer(self, connection: ServerConnection, response: Response, subprotocol: str | None) -> None:
        if connection._state != State.CONNECTING:
            return
        if response.status_code == 101 and not self._server.is_serving():
            response = plain_response(503, CLOSING)
        connection._parsed_response = response
        shard = self._server._shard
        if response.status_code == 101:
            fields = [(name, value) for name, value in response.headers.raw_items() if name.lower() not in _OWN_FIELDS]
            shard.accept(connection, subprotocol, fields)
        else:
            fields = list(response.headers.raw_items())
            shard.respond(connection, response.status_code, response.reason_phrase, fields, response.body)
