"""``websockets.asyncio.server``: :func:`everwire.serve` with that package's arguments and defaults."""

from __future__ import annotations

import logging
import os
import re
import socket
import ssl as ssl_module
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, TypedDict, Unpack

from .... import server as core
from ....connection import broadcast
from ....http import Request, Response
from ....limits import Limits
from ....server import Server, basic_auth
from ....tls import TLS
from ..exceptions import NegotiationError
from ..extensions.permessage_deflate import deflate_of
from ..http11 import SERVER
from ..typing import LoggerLike, Origin, Subprotocol
from .arguments import check_subprotocols, message_limit, without_inert
from .connection import Facade

__all__ = ["Server", "ServerConnection", "basic_auth", "broadcast", "serve", "unix_serve"]


class ServerConnection(Facade, core.ServerConnection):
    """A connection that a server accepted; made by :func:`serve`."""

    handler: Callable[..., Awaitable[None]]
    handler_kwargs: Mapping[str, Any]


class ListenOptions(TypedDict, total=False):
    """What :func:`everwire.serve` takes further, and what `websockets` hands to asyncio, which changes nothing here."""

    idle_timeout: float | None
    limits: Limits | None
    hsts: int | None
    overflow: Literal["skip", "close"]
    allowed_hosts: Sequence[str]
    trusted_proxies: Sequence[str]
    forwarded: Literal["x-forwarded-for", "forwarded"]
    proxy_protocol: bool
    backlog: int
    reuse_port: bool
    family: int
    start_serving: bool
    flags: int
    keep_alive: bool | None
    reuse_address: bool | None
    ssl_handshake_timeout: float | None
    ssl_shutdown_timeout: float | None


class ServeOptions(ListenOptions, total=False):
    """What :func:`serve` names itself, for those who take it along; but not where it listens, and with what TLS."""

    origins: Sequence[Origin | re.Pattern[str] | None] | None
    extensions: Sequence[Any] | None
    subprotocols: Sequence[Subprotocol] | None
    select_subprotocol: Callable[[ServerConnection, Sequence[Subprotocol]], Subprotocol | None] | None
    compression: str | None
    process_request: Callable[[ServerConnection, Request], Awaitable[Response | None] | Response | None] | None
    process_response: (
        Callable[[ServerConnection, Request, Response], Awaitable[Response | None] | Response | None] | None
    )
    server_header: str | None
    open_timeout: float | None
    ping_interval: float | None
    ping_timeout: float | None
    close_timeout: float | None
    max_size: int | tuple[int | None, int | None] | None
    max_queue: int | tuple[int | None, int | None] | None
    write_limit: int | tuple[int, int | None]
    logger: LoggerLike | None
    create_connection: Callable[..., ServerConnection] | None


class UnixServeOptions(ServeOptions, total=False):
    """What :func:`unix_serve` takes."""

    ssl: TLS | ssl_module.SSLContext | None
    sock: socket.socket | None


def serve(
    handler: Callable[[ServerConnection], Awaitable[None]],
    host: str | Sequence[str] | None = None,
    port: int | None = None,
    *,
    origins: Sequence[Origin | re.Pattern[str] | None] | None = None,
    extensions: Sequence[Any] | None = None,
    subprotocols: Sequence[Subprotocol] | None = None,
    select_subprotocol: Callable[[ServerConnection, Sequence[Subprotocol]], Subprotocol | None] | None = None,
    compression: str | None = "deflate",
    process_request: Callable[[ServerConnection, Request], Awaitable[Response | None] | Response | None] | None = None,
    process_response: Callable[[ServerConnection, Request, Response], Awaitable[Response | None] | Response | None]
    | None = None,
    server_header: str | None = SERVER,
    open_timeout: float | None = 10,
    ping_interval: float | None = 20,
    ping_timeout: float | None = 20,
    close_timeout: float | None = 10,
    max_size: int | tuple[int | None, int | None] | None = 2**20,
    max_queue: int | tuple[int | None, int | None] | None = 16,
    write_limit: int | tuple[int, int | None] = 2**15,
    logger: LoggerLike | None = None,
    create_connection: Callable[..., ServerConnection] | None = None,
    unix: bool = False,
    path: str | os.PathLike[str] | None = None,
    ssl: TLS | ssl_module.SSLContext | None = None,
    sock: socket.socket | None = None,
    allow_plaintext: bool = True,
    **options: Unpack[ListenOptions],
) -> core.serve:
    """Serve WebSocket connections as ``websockets.asyncio.server.serve`` does: see :func:`everwire.serve`.

    Differences of the defaults, which are those of `websockets`: ``host=None`` listens on all interfaces, without TLS too (a
    warning says so); ``origins=None`` lets every page in; a client that offers none of ``subprotocols`` is refused with 400.
    Any other argument of :func:`everwire.serve` may be given.

    Raises:
        TypeError: ``subprotocols`` is one string.
        ValueError: the arguments do not fit together.
    """
    check_subprotocols(subprotocols)
    if unix:
        if (path is None) == (sock is None):
            wrong = "path was not specified, and no sock specified" if sock is None else _BOTH.format("path")
            raise ValueError(wrong)
    elif sock is not None and (host is not None or port is not None):
        raise ValueError(_BOTH.format("host/port"))
    if subprotocols and select_subprotocol is None:
        select_subprotocol = _selection(subprotocols)
    if host is None and sock is None and not unix:
        host = ""
    return core.serve(
        handler,  # type: ignore[arg-type]
        host,
        port,
        origins="*" if origins is None else origins,
        subprotocols=subprotocols,
        select_subprotocol=select_subprotocol,  # type: ignore[arg-type]
        compression=deflate_of(extensions, compression),
        process_request=process_request,  # type: ignore[arg-type]
        process_response=process_response,  # type: ignore[arg-type]
        server_header=server_header,
        open_timeout=open_timeout,
        ping_interval=ping_interval,
        ping_timeout=ping_timeout,
        close_timeout=close_timeout,
        max_size=message_limit(max_size),
        max_queue=max_queue,
        write_limit=write_limit,
        logger=logger or logging.getLogger("websockets.server"),
        create_connection=create_connection or ServerConnection,
        path=None if path is None else os.fspath(path),
        ssl=ssl,
        sock=sock,
        allow_plaintext=allow_plaintext,
        **without_inert(options),
    )


def unix_serve(
    handler: Callable[[ServerConnection], Awaitable[None]],
    path: str | os.PathLike[str] | None = None,
    **options: Unpack[UnixServeOptions],
) -> core.serve:
    """Serve on a Unix socket: :func:`serve` with a path, or with a bound ``sock``."""
    return serve(handler, unix=True, path=path, **options)


_BOTH = "{} and sock can not be specified at the same time"


def _selection(ours: Sequence[Subprotocol]) -> Callable[[ServerConnection, Sequence[Subprotocol]], Subprotocol]:
    """Chooses as that package does: no agreement is no connection."""

    def select(connection: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol:
        if not offered:
            raise NegotiationError("missing subprotocol")
        for name in ours:
            if name in offered:
                return name
        expected = ours[0] if len(ours) == 1 else "one of " + ", ".join(ours)
        raise NegotiationError(f"invalid subprotocol; expected {expected}")

    return select
