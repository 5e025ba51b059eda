"""A server: a task for each connection, and the orderly end."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import math
import re
import socket
import ssl as ssl_module
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any

from ..close import objection
from ..connection import State
from ..engine import server_settings, shard_of
from ..errors import UsageError
from ..http import Origins, is_loopback
from ..limits import Limits
from ..tls import TLS, server_tls
from .connection import ServerConnection
from .endpoint import Endpoint
from .hooks import Hooks, ProcessRequest, ProcessResponse, SelectSubprotocol
from .shutdown import HANDLER_TIMEOUT, Shutdown
from .sockets import socket_name

__all__ = ["Handler", "Server"]

Handler = Callable[[ServerConnection], Awaitable[None] | None]
"""Takes a connection. A coroutine function runs as a task; a plain one sets callbacks and returns."""


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
        self._listeners.append(self._shard.listen(listening.dup().detach(), settings, self._endpoint))

    @property
    def _endpoint(self) -> Endpoint:
        # It has no state. One that is kept would refer to what refers to it, and both would wait for the garbage collector.
        return Endpoint(self)

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
