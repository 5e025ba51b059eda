"""``websockets.asyncio.client``: :func:`everwire.connect` with that package's arguments, defaults and exceptions."""

from __future__ import annotations

import logging
import os
import socket
import ssl as ssl_module
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from .... import client as core
from ....errors import HandshakeFailed, ProtocolError, UsageError
from ....http import HeadersLike
from ....limits import Limits
from ....tls import TLS
from ..client import backoff, process_exception
from ..exceptions import (
    InvalidMessage,
    InvalidProxyMessage,
    InvalidProxyStatus,
    InvalidStatus,
    ProxyError,
    SecurityError,
)
from ..extensions.permessage_deflate import deflate_of
from ..http11 import USER_AGENT
from ..proxy import get_proxy, parse_proxy
from ..typing import LoggerLike, Origin, Subprotocol
from ..uri import parse_uri
from .arguments import check_subprotocols, message_limit, without_inert
from .connection import Facade

__all__ = ["ClientConnection", "connect", "unix_connect"]


class ClientConnection(Facade, core.ClientConnection):
    """A connection that :func:`connect` opened."""


class DialOptions(TypedDict, total=False):
    """What :func:`everwire.connect` takes further, and what `websockets` hands to asyncio, which changes nothing here."""

    idle_timeout: float | None
    limits: Limits | None
    ssl: TLS | ssl_module.SSLContext | bool | None
    server_hostname: str | None
    host: str | None
    port: int | None
    sock: socket.socket | None
    local_addr: tuple[str | None, int] | None
    family: int
    happy_eyeballs_delay: float | None
    proxy_ssl: ssl_module.SSLContext | bool | None
    proxy_server_hostname: str | None
    max_redirects: int
    all_errors: bool
    flags: int
    interleave: int | None
    proto: int
    proxy_ssl_handshake_timeout: float | None
    proxy_ssl_shutdown_timeout: float | None
    ssl_handshake_timeout: float | None
    ssl_shutdown_timeout: float | None


class connect(core.connect):  # noqa: N801 - used as a function
    """Open a WebSocket connection as ``websockets.asyncio.client.connect`` does: see :class:`everwire.connect`.

    Any other argument of :class:`everwire.connect` may be given.

    Args:
        proxy: ``True`` for that of the environment, ``None`` for none, or a URL; without effect with a Unix socket or ``sock``.

    Raises:
        InvalidURI: the URL is none.
        InvalidProxy: that of the proxy is none.
        InvalidHandshake: the server did not agree: :exc:`InvalidStatus`, :exc:`InvalidMessage`, :exc:`SecurityError` and others;
            or the proxy: :exc:`ProxyError`.
        TimeoutError: it took longer than ``open_timeout``.
        OSError: no connection could be made; with TLS an :exc:`ssl.SSLError`.
        ValueError: the arguments do not fit together.
    """

    _paces_losses = False

    def __init__(
        self,
        uri: str,
        *,
        origin: Origin | None = None,
        extensions: Sequence[Any] | None = None,
        subprotocols: Sequence[Subprotocol] | None = None,
        compression: str | None = "deflate",
        additional_headers: HeadersLike | None = None,
        user_agent_header: str | None = USER_AGENT,
        proxy: str | bool | None = True,
        process_exception: Callable[[Exception], Exception | None] = process_exception,
        open_timeout: float | None = 10,
        ping_interval: float | None = 20,
        ping_timeout: float | None = 20,
        close_timeout: float | None = 10,
        reconnect_delays: Callable[[], Iterator[float]] = backoff,
        max_size: int | tuple[int | None, int | None] | None = 2**20,
        max_queue: int | tuple[int | None, int | None] | None = 16,
        write_limit: int | tuple[int, int | None] = 2**15,
        logger: LoggerLike | None = None,
        create_connection: Callable[..., ClientConnection] | None = None,
        unix: bool = False,
        path: str | os.PathLike[str] | None = None,
        **options: Unpack[DialOptions],
    ) -> None:
        secure = parse_uri(uri).secure
        if not secure and options.get("ssl") is not None:
            raise ValueError("ssl argument is incompatible with a ws:// URI")
        if secure and options.get("ssl", True) is None:
            raise ValueError("ssl=None is incompatible with a wss:// URI")
        if unix or options.get("sock") is not None:
            proxy = None
        if isinstance(proxy, str):
            scheme = parse_proxy(proxy).scheme
            if scheme == "https" and options.get("proxy_ssl", True) is None:
                raise ValueError("proxy_ssl=None is incompatible with an https:// proxy")
            if scheme != "https" and options.get("proxy_ssl") is not None:
                raise ValueError(f"proxy_ssl argument is incompatible with an {scheme}:// proxy")
        check_subprotocols(subprotocols)
        self._asked: core.HandshakeRequest
        super().__init__(
            uri,
            origin=origin,
            subprotocols=subprotocols,
            compression=deflate_of(extensions, compression),
            additional_headers=additional_headers,
            user_agent_header=user_agent_header,
            proxy=proxy,
            process_exception=process_exception,
            reconnect_delays=reconnect_delays,
            open_timeout=open_timeout,
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
            close_timeout=close_timeout,
            max_size=message_limit(max_size),
            max_queue=max_queue,
            write_limit=write_limit,
            logger=logger or logging.getLogger("websockets.client"),
            create_connection=create_connection or ClientConnection,
            path=None if path is None else os.fspath(path),
            **without_inert(options),
        )

    if TYPE_CHECKING:

        def __await__(self) -> Generator[Any, None, ClientConnection]: ...
        async def __aenter__(self) -> ClientConnection: ...
        def __aiter__(self) -> AsyncIterator[ClientConnection]: ...

    def process_redirect(self, exc: Exception) -> Exception | str:
        """Tell what to do after a handshake that failed: the URL to go to, or the exception to raise, ``exc`` itself or another.

        May be overridden, as there. What is asked was sent to :attr:`uri`. Whatever URL this returns, another origin gets no
        credentials.
        """
        try:
            further = None
            if isinstance(exc, HandshakeFailed):
                further = self._asked.follow(exc, self._dialer.tied_to)
        except HandshakeFailed as error:
            return _translated(error)
        except UsageError as error:
            return ValueError(str(error))
        return exc if further is None else further.uri

    def _redirect(self, request: core.HandshakeRequest, refused: HandshakeFailed) -> core.HandshakeRequest | None:
        if refused.proxy is not None or isinstance(refused.__cause__, ssl_module.SSLError):
            return None  # no handshake was begun
        self._asked, self.uri = request, request.uri
        translated = _translated(refused)
        answer = self.process_redirect(translated)
        if answer is translated:
            return None
        if isinstance(answer, Exception):
            raise answer from translated
        return request.to(answer)

    async def _open(self) -> core.ClientConnection:
        if self._dialer.proxy is True and not self._dialer.is_given:
            of_the_environment = get_proxy(parse_uri(self.uri))
            if of_the_environment is not None:
                parse_proxy(of_the_environment)
        try:
            return await super()._open()
        except HandshakeFailed as error:
            translated = _translated(error)
            raise translated from None if translated is error.__cause__ else error.__cause__
        except UsageError as error:
            if isinstance(error.__cause__, HandshakeFailed):  # a redirect that cannot be followed from here
                raise ValueError(str(error)) from error.__cause__
            if isinstance(error.__cause__, ImportError):
                raise ImportError(str(error)) from error.__cause__
            raise


class UnixConnectOptions(DialOptions, total=False):
    """What :func:`connect` names itself, and :func:`unix_connect` takes along."""

    origin: Origin | None
    extensions: Sequence[Any] | None
    subprotocols: Sequence[Subprotocol] | None
    compression: str | None
    additional_headers: HeadersLike | None
    user_agent_header: str | None
    proxy: str | bool | None
    process_exception: Callable[[Exception], Exception | None]
    open_timeout: float | None
    ping_interval: float | None
    ping_timeout: float | None
    close_timeout: float | None
    reconnect_delays: Callable[[], Iterator[float]]
    max_size: int | tuple[int | None, int | None] | None
    max_queue: int | tuple[int | None, int | None] | None
    write_limit: int | tuple[int, int | None]
    logger: LoggerLike | None
    create_connection: Callable[..., ClientConnection] | None


def unix_connect(
    path: str | os.PathLike[str] | None = None, uri: str | None = None, **options: Unpack[UnixConnectOptions]
) -> connect:
    """Connect to a Unix socket: :func:`connect` with a path, or with a connected ``sock``."""
    if uri is None:
        uri = "ws://localhost/" if options.get("ssl") is None else "wss://localhost/"
    if path is None and options.get("sock") is None:
        raise ValueError("no path and sock were specified")
    if path is not None and options.get("sock") is not None:
        raise ValueError("path and sock can not be specified at the same time")
    return connect(uri, unix=True, path=path, **options)


def _translated(error: HandshakeFailed) -> Exception:
    """The same failure under that package's finer name, if it has one."""
    if type(error) is not HandshakeFailed:
        return error
    if isinstance(error.__cause__, ssl_module.SSLError):
        return error.__cause__
    if error.proxy is not None:
        return _of_a_proxy(error, error.proxy)
    if isinstance(error.__cause__, HandshakeFailed):  # a redirect that was not followed
        return SecurityError(str(error), error.response)
    if isinstance(error.__cause__, EOFError | ProtocolError) and error.response is None:
        return InvalidMessage("did not receive a valid HTTP response")
    if error.response is not None and error.response.status_code != 101:
        return InvalidStatus(error.response)
    return error


def _of_a_proxy(error: HandshakeFailed, proxy: str) -> ProxyError:
    failure: ProxyError
    if error.response is not None:
        failure = InvalidProxyStatus(error.response)
    elif proxy.startswith("socks"):
        failure = ProxyError("failed to connect to SOCKS proxy")
    else:
        failure = InvalidProxyMessage("did not receive a valid HTTP response from proxy")
    failure.proxy = proxy
    return failure
