"""``websockets.asyncio.connection``: what connections of both sides have there besides what they have in Everwire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Any

from .... import connection as core
from ....connection import Data, broadcast

__all__ = ["Connection", "Facade", "Iteration", "Transport", "broadcast"]

Connection = core.Connection


class Transport:
    """What programs use of ``connection.transport``, for a connection without one: its socket is in the engine."""

    def __init__(self, connection: core.Connection) -> None:
        self._connection = connection

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """``"peername"`` and ``"sockname"``; ``"cipher"`` with TLS.

        ``"ssl_object"``, ``"sslcontext"`` and ``"peercert"`` if an :class:`ssl.SSLContext` does it. Nothing else is known.
        """
        ssl_object = core.ssl_object(self._connection)
        match name:
            case "peername":
                return self._connection.remote_address
            case "sockname":
                return self._connection.local_address
            case "ssl_object" if ssl_object is not None:
                return ssl_object
            case "sslcontext" if ssl_object is not None:
                return ssl_object.context
            case "peercert" if ssl_object is not None:
                return ssl_object.getpeercert()
            case "cipher" if ssl_object is not None:
                return ssl_object.cipher()
            case "cipher":
                tls = core.tls_session(self._connection)
                return default if tls is None else (tls.cipher, tls.version, None)
            case _:
                return default

    def is_closing(self) -> bool:
        """Whether the connection has ended."""
        return self._connection.state is core.State.CLOSED

    def abort(self) -> None:
        """End the connection without a closing handshake."""
        self._connection.abort()

    def close(self) -> None:
        """The same: what was sent is with the system already, unless the peer does not read."""
        self._connection.abort()

    def get_write_buffer_size(self) -> int:
        """Bytes of output that wait for the peer."""
        return self._connection.write_buffer_size

    def pause_reading(self) -> None:
        """Stop reading: TCP slows the peer down."""
        self._connection.pause()

    def resume_reading(self) -> None:
        """Read again."""
        self._connection.resume()


class Iteration(AsyncIterator[Data]):
    """What ``aiter(connection)`` gives: an iterator that can be left with ``aclose()``, as if it were a generator."""

    __slots__ = ("_connection",)

    def __init__(self, connection: core.Connection) -> None:
        self._connection = connection

    def __anext__(self) -> Awaitable[Data]:
        return self._connection.__anext__()

    async def aclose(self) -> None:
        """Do nothing: no message was taken that was not handed out. The connection stays open."""


class Facade(core.Connection):
    """Attributes of `websockets` connections that Everwire's do not need."""

    _transport: Transport | None = None

    def __aiter__(self) -> Iteration:
        return Iteration(self)

    @property
    def transport(self) -> Transport:
        """Something that does what programs use asyncio's transports for."""
        if self._transport is None:
            self._transport = Transport(self)
        return self._transport

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that the connection belongs to."""
        loop: asyncio.AbstractEventLoop = self._loop
        return loop
