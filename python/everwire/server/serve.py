"""``serve()``: from arguments to a server that listens."""

from __future__ import annotations

import logging
import re
import socket
import ssl as ssl_module
from collections.abc import Callable, Generator, Sequence
from types import TracebackType
from typing import Any, Unpack

from ..engine import ServerOptions, server_settings
from ..errors import UsageError
from ..limits import Limits
from ..tls import TLS
from .connection import ServerConnection
from .hooks import ProcessRequest, ProcessResponse, SelectSubprotocol
from .server import Handler, Server
from .sockets import bind, bind_unix, check_exposure

__all__ = ["SERVER", "serve", "unix_serve"]

SERVER = "Everwire"
"""What the ``Server`` field says by default: no version, which would tell attackers more than friends."""


class serve:  # noqa: N801 - used as a function
    """Serve WebSocket connections.

    Use it as ``async with serve(...) as server:``, or ``server = await serve(...)``.

    Args:
        handler: called with each :class:`ServerConnection`. A coroutine function runs as a task, and the connection closes when
            it returns; a plain function sets ``on_message`` and returns (callback style).
        host: the name or address to listen on, or several; ``None`` for loopback.
        port: the port; 0 for a free one.
        origins: whose pages may connect: origins as browsers send them, compiled patterns, and ``None`` for programs that
            send none. By default those of the host that the request names, and programs. ``"*"`` for everybody.
        subprotocols: ours, in order of preference; the first that the client offers too is chosen.
        select_subprotocol: chooses instead: called with the connection and the client's list. Raising
            :exc:`HandshakeFailed` answers 400.
        compression: ``"deflate"``, ``None``, or :class:`~everwire.Deflate` with options.
        process_request: called with connection and request before anything is answered; may return a
            :class:`~everwire.Response` to answer with that (a health check, a 401). Function or coroutine function.
        process_response: called with connection, request and response before it is sent; may change or replace it.
        server_header: the ``Server`` field; ``None`` for none.
        open_timeout: seconds from accepting to the end of the handshake, TLS included.
        ping_interval: seconds between pings of ours; ``None`` sends none.
        ping_timeout: seconds from a ping to a sign of life, then the connection closes with 1011.
        close_timeout: seconds for the closing handshake.
        idle_timeout: seconds without a message, then the connection closes with 1001; off by default.
        max_size: bytes of a received message; short for ``limits.message``. ``None`` for no limit.
        max_queue: received messages that wait, or a pair (stop reading at, go on at); short for ``limits.queue_messages``.
        write_limit: bytes of output above which ``send()`` waits; short for ``limits.write_high``.
        limits: every other :class:`~everwire.Limits`.
        overflow: what :func:`~everwire.broadcast` does to a connection beyond ``limits.output``: ``"skip"`` or ``"close"``.
        allowed_hosts: names, other than loopback ones, by which pages reach a server on loopback.
        trusted_proxies: addresses or networks of proxies whose word about the client's address is taken.
        forwarded: where they give it: ``"x-forwarded-for"`` or ``"forwarded"`` (RFC 7239).
        proxy_protocol: every connection begins with a PROXY protocol v2 header.
        allow_plaintext: listen on a public address without TLS: for a proxy in front that has it.
        ssl: :class:`~everwire.TLS`, or any :class:`ssl.SSLContext`.
        hsts: seconds for which browsers are to reach this host by TLS only (``Strict-Transport-Security``, RFC 6797); said in
            every answer under TLS. ``None`` says nothing.
        sock: a listening or bound socket instead of host and port.
        backlog: connections that the system keeps waiting.
        reuse_port: let several processes listen on the port.
        start_serving: ``False`` binds, and accepts after ``server.start_serving()``.
        logger: where to log; ``everwire.server`` by default.
        create_connection: makes the connections, called with the server: a subclass of :class:`ServerConnection`.

    Raises:
        UsageError: the arguments do not fit together; the text says what to do.
        OSError: the address cannot be bound.
    """

    def __init__(
        self,
        handler: Handler,
        host: str | Sequence[str] | None = None,
        port: int | None = None,
        *,
        origins: Sequence[str | re.Pattern[str] | None] | str | None = None,
        subprotocols: Sequence[str] | None = None,
        select_subprotocol: SelectSubprotocol | None = None,
        process_request: ProcessRequest | None = None,
        process_response: ProcessResponse | None = None,
        server_header: str | None = SERVER,
        open_timeout: float | None = 10,
        limits: Limits | None = None,
        allow_plaintext: bool = False,
        ssl: TLS | ssl_module.SSLContext | None = None,
        sock: socket.socket | None = None,
        path: str | None = None,
        backlog: int = 1024,
        reuse_port: bool = False,
        family: int = socket.AF_UNSPEC,
        start_serving: bool = True,
        logger: logging.Logger | logging.LoggerAdapter[Any] | None = None,
        create_connection: Callable[[Server], ServerConnection] | None = None,
        **options: Unpack[ServerOptions],
    ) -> None:
        if not callable(handler):
            raise UsageError(f"handler must be callable, not {type(handler).__name__}")
        if isinstance(subprotocols, str):
            raise UsageError(f"subprotocols must be a list, not a str: use [{subprotocols!r}]")
        if ssl is not None and not isinstance(ssl, TLS | ssl_module.SSLContext):
            raise UsageError(f"ssl must be everwire.TLS or ssl.SSLContext, not {type(ssl).__name__}")
        settings: dict[str, Any] = {"limits": limits, "open_timeout": open_timeout, **options}
        server_settings(settings)  # so that mistakes show here, not when the server starts
        self._where = (host, port, sock, path, backlog, reuse_port, family)
        self._allow_plaintext = allow_plaintext
        self._start_serving = start_serving
        self._make: Callable[[], Server] = lambda: Server(
            handler,
            process_request=process_request,
            process_response=process_response,
            select_subprotocol=select_subprotocol,
            origins=origins,
            subprotocols=subprotocols or (),
            server_header=server_header,
            logger=logger or logging.getLogger("everwire.server"),
            create_connection=create_connection or ServerConnection,
            tls=ssl,
            settings=settings,
        )
        self._tls = ssl
        self.server: Server | None = None

    def __await__(self) -> Generator[Any, None, Server]:
        return self._begin().__await__()

    async def __aenter__(self) -> Server:
        self.server = await self
        return self.server

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.server is not None:
            await self.server.__aexit__(kind, value, traceback)

    async def _begin(self) -> Server:
        server = self._make()
        host, port, sock, path, backlog, reuse_port, family = self._where
        if path is not None or (sock is not None and sock.family == socket.AF_UNIX):
            sockets = [bind_unix(path, sock)]
        else:
            sockets = await bind(host, port, sock, family=family, reuse_port=reuse_port)
            check_exposure(sockets, self._tls is not None, self._allow_plaintext, server.logger)
        try:
            for listening in sockets:
                listening.listen(backlog)
            server.sockets = tuple(sockets)
            if self._start_serving:
                await server.start_serving()
        except BaseException:
            server._stop_serving()
            for listening in sockets:
                listening.close()
            raise
        return server


class UnixServeOptions(ServerOptions, total=False):
    """What :func:`serve` takes, but for what is about addresses."""

    origins: Sequence[str | re.Pattern[str] | None] | str | None
    subprotocols: Sequence[str] | None
    select_subprotocol: SelectSubprotocol | None
    process_request: ProcessRequest | None
    process_response: ProcessResponse | None
    server_header: str | None
    open_timeout: float | None
    limits: Limits | None
    ssl: TLS | ssl_module.SSLContext | None
    sock: socket.socket | None
    backlog: int
    start_serving: bool
    logger: logging.Logger | logging.LoggerAdapter[Any] | None
    create_connection: Callable[[Server], ServerConnection] | None


def unix_serve(handler: Handler, path: str | None = None, **options: Unpack[UnixServeOptions]) -> serve:
    """Serve on a Unix socket: :func:`serve` with a path, or with a bound ``sock``.

    Raises:
        UsageError: neither or both are given.
        OSError: the path is in use, or cannot be made.
    """
    if (path is None) == (options.get("sock") is None):
        raise UsageError("give either a path or a bound Unix socket as sock")
    return serve(handler, path=path, **options)
