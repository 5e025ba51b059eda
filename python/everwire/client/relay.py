"""A plain socket on a TLS connection that asyncio carries: for TLS to a proxy, within which the engine may do TLS to the server.

The engine's TLS works on a socket, and a tunnel through an ``https`` proxy has none of its own: its bytes are inside another TLS.
So one end of a socket pair stands for it, and the other end is carried through asyncio's transport, which slows down whoever
sends faster than the other reads.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Any, cast

from ..engine import start_tls

__all__ = ["Relay"]

GOODBYE = 5.0
"""Seconds for what is still on its way, and for TLS to say goodbye."""


class Relay:
    """A TLS connection, and the plain socket that stands for it.

    Attributes:
        sock: the socket; whoever closes it ends the TLS connection.
        address: our own end of the TLS connection: host and port.
        peer: the other one.
    """

    def __init__(self, sock: socket.socket, outer: _End) -> None:
        self.sock = sock
        self.address, self.peer = (outer.info(name)[:2] for name in ("sockname", "peername"))
        self._outer = outer

    @classmethod
    async def open(cls, sock: socket.socket, context: ssl.SSLContext, server_name: str) -> Relay:
        """Speak TLS on a connected socket, which is taken over.

        Raises:
            OSError: the other end hung up, or is not who it should be (:exc:`ssl.SSLError`).
        """
        loop = asyncio.get_running_loop()
        outer, inner = _End(), _End()
        outer.other, inner.other = inner, outer
        near, far = socket.socketpair()
        near.setblocking(False)
        far.setblocking(False)
        try:
            await loop.create_unix_connection(lambda: inner, sock=far)
            await start_tls(sock, outer, context, server_name, GOODBYE)
        except BaseException:
            # The end of the pair that asyncio has follows.
            near.close()
            sock.close()
            raise
        return cls(near, outer)

    def close_soon(self) -> None:
        """End it, after what is still on its way, in :data:`GOODBYE` seconds at most.

        Closing the socket is enough if the peer reads. If it does not, nobody reads the other end of the pair either, and would
        notice.
        """
        self._outer.close_soon()


class _End(asyncio.Protocol):
    other: _End
    transport: asyncio.Transport | None = None
    _deadline: asyncio.TimerHandle | None = None

    def info(self, name: str) -> Any:
        return () if self.transport is None else self.transport.get_extra_info(name) or ()

    def close_soon(self) -> None:
        if self.transport is not None and self._deadline is None:
            self._deadline = asyncio.get_running_loop().call_later(GOODBYE, self.transport.abort)

    # What the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self.other.transport is not None:
            self.other.transport.write(data)

    def eof_received(self) -> None:
        if self.other.transport is not None:
            self.other.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        if self._deadline is not None:
            self._deadline.cancel()
        self.eof_received()

    def pause_writing(self) -> None:
        if self.other.transport is not None and not self.other.transport.is_closing():
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other.transport is not None and not self.other.transport.is_closing():
            self.other.transport.resume_reading()
