"""TLS that asyncio does on a connected socket, with any :class:`ssl.SSLContext`."""

from __future__ import annotations

import asyncio
import socket
import ssl

__all__ = ["start_tls"]


async def start_tls(
    sock: socket.socket,
    protocol: asyncio.Protocol,
    context: ssl.SSLContext,
    server_name: str,
    shutdown_timeout: float | None = None,
) -> None:
    """Shake hands as a client, then hand the transport to a protocol. The socket is taken over, and closed if that fails.

    Cancelling at any moment closes it, too: ``loop.create_connection(ssl=...)`` forgets a transport whose TLS has not begun.

    Args:
        sock: a connected, non-blocking stream socket.
        protocol: its ``connection_made`` is called when TLS stands.
        context: what is trusted and shown.
        server_name: for the certificate, and SNI.
        shutdown_timeout: seconds for what is still to be sent when the transport is closed, and for TLS to say goodbye.

    Raises:
        OSError: the peer hung up, or is not who it should be (:exc:`ssl.SSLError`).
    """
    loop = asyncio.get_running_loop()
    try:
        plain, _ = await loop.create_connection(asyncio.Protocol, sock=sock)
    except BaseException:
        sock.close()
        raise
    early = _Early()
    try:
        transport = await loop.start_tls(
            plain, early, context, server_hostname=server_name, ssl_shutdown_timeout=shutdown_timeout
        )
    except BaseException:
        plain.abort()
        raise
    if transport is None:  # it ended meanwhile
        plain.abort()
        raise ConnectionResetError("the connection ended when TLS began")
    transport.set_protocol(protocol)
    protocol.connection_made(transport)
    if early.data:
        protocol.data_received(bytes(early.data))
    if early.is_over:
        protocol.connection_lost(early.error)


class _Early(asyncio.Protocol):
    """Keeps what comes in one read with the end of the handshake."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.is_over = False
        self.error: Exception | None = None

    def data_received(self, data: bytes) -> None:
        self.data += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_over = True
        self.error = exc
