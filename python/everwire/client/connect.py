"""Connecting: a URL, a socket, the opening handshake, a connection."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl as ssl_module
import sys
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence
from types import TracebackType
from typing import Any, Unpack

from .. import _core
from ..connection import Connection, State
from ..engine import ConnectionOptions, SSLDriver, client_settings, shard_of
from ..errors import HandshakeFailed, UsageError
from ..http import Headers, HeadersLike, Response, hidden_url, parse_url
from ..limits import Limits
from ..tls import TLS, client_tls
from .backoff import Pace, backoff, retry_after
from .dialer import Dialer
from .failures import in_a_line, opening_failure
from .options import HandshakeOptions
from .racing import ATTEMPT_DELAY
from .redirects import REDIRECTS, HandshakeRequest
from .relay import Relay
from .tunnel import Tunnel
from .verdicts import note_worked_before, process_exception

__all__ = ["ClientConnection", "connect", "unix_connect"]

USER_AGENT = f"Python/{sys.version_info.major}.{sys.version_info.minor} everwire/{_core.__version__}"
_default_tls = TLS()


class ClientConnection(Connection):
    """A connection that :func:`connect` opened."""

    def __init__(self, logger: logging.Logger | logging.LoggerAdapter[Any] | None = None) -> None:
        if logger is not None:
            self._base_logger = logger
        self._opening: asyncio.Future[None] | None = None
        self._relay: Relay | None = None
        self._driver: SSLDriver | None = None

    @property
    def remote_address(self) -> Any:
        """The peer: host and port; behind a proxy those of the proxy; empty for Unix sockets."""
        return super().remote_address if self._relay is None else self._relay.peer

    @property
    def response(self) -> Response | None:
        """The response of the opening handshake."""
        if self._parsed_response is None and self._state < State.CLOSED:
            self._keep_response()
        return self._parsed_response

    # What the engine calls

    def _opened(self, connection: ClientConnection) -> None:
        self._keep_response()
        if self._opening is not None and not self._opening.done():
            self._opening.set_result(None)

    def _failed(self, connection: ClientConnection, failure: _core.Failure) -> None:
        if self._opening is None or self._opening.done():
            return
        self._opening.set_exception(opening_failure(failure, None if self._driver is None else self._driver.error))

    def _on_closed(self, ending: _core.Ending) -> None:
        super()._on_closed(ending)
        if self._relay is not None:
            self._relay.close_soon()


class connect:  # noqa: N801 - used as a function
    """Open a WebSocket connection.

    Use it as ``async with connect(url) as ws:``, which closes it in the end, or ``ws = await connect(url)``, or connect again
    whenever the connection is lost: ``async for ws in connect(url):``; :class:`~everwire.ReconnectingWebSocket` is one object that
    does so by itself. Redirects are followed, never from ``wss://`` to ``ws://``, and to another origin without the
    credentials of this one.

    Args:
        uri: a ``ws://`` or ``wss://`` URL; a user and password in it become basic authentication.
        origin: the ``Origin`` field, for servers that want one.
        subprotocols: to offer, the favorite first.
        compression: ``"deflate"``, ``None``, or :class:`~everwire.Deflate` with options.
        additional_headers: further fields of the request.
        user_agent_header: the ``User-Agent`` field; ``None`` for none.
        open_timeout: seconds for everything: looking up, connecting, TLS, handshake.
        ping_interval, ping_timeout, close_timeout, idle_timeout, max_size, max_queue, write_limit, limits: as in
            :func:`~everwire.serve`.
        process_exception: tells, when connecting again, whether an error is final (an exception, to be raised) or not (``None``);
            by default those of the network are not, nor are 408, 425, 429 and from 500 on, but for 501 and 505.
        reconnect_delays: makes the seconds to wait before each attempt, from the first failure on until a connection has lived
            for a minute; where they end, the error is raised. By default random(0, min(20, 0.5 * 2 ** n)). ``Retry-After`` comes
            on top.
        ssl: :class:`~everwire.TLS`, any :class:`ssl.SSLContext`, or ``True``/``None`` for the system's roots.
        server_hostname: the name that the certificate must be for, if not that in the URL.
        host, port: where to connect, if not where the URL says.
        sock: a connected socket to use; it is closed in the end, and if no connection comes of it.
        local_addr: our own host and port to bind to; of a name with several addresses, one of the family that is connected to.
        family: ``socket.AF_INET`` or ``AF_INET6`` to use only one.
        happy_eyeballs_delay: seconds after which the next address of a name is tried beside those before it (RFC 8305);
            ``None`` tries one after another.
        proxy: ``True`` for that of the environment, if it has one; ``None`` for none; or its URL, with ``http``, ``https``,
            ``socks5h``, ``socks5``, ``socks4a`` or ``socks4``, and with a user and password if it wants them. SOCKS needs
            ``python-socks``: ``pip install everwire[socks]``.
        proxy_ssl: an :class:`ssl.SSLContext` for an ``https`` proxy; by default the system's roots are trusted.
        proxy_server_hostname: the name that the certificate of an ``https`` proxy must be for, if not that in its URL.
        max_redirects: how many redirects are followed; 0 makes the first one a :exc:`HandshakeFailed`.
        logger: where to log; ``everwire.client`` by default.
        create_connection: makes the connection: a subclass of :class:`ClientConnection`.

    Raises:
        HandshakeFailed: the server answered something else than a WebSocket handshake, or broke its rules; or a proxy did not
            let us through, which ``proxy`` of the exception then names.
        TimeoutError: it took longer than ``open_timeout``.
        OSError: no connection could be made.
        UsageError: the arguments do not fit together; the text says what to do.
    """

    _paces_losses = True
    """Whether a connection that is lost soon delays the next one: a server may accept everybody only to drop them."""

    def __init__(
        self,
        uri: str,
        *,
        origin: str | None = None,
        subprotocols: Sequence[str] | None = None,
        additional_headers: HeadersLike | None = None,
        user_agent_header: str | None = USER_AGENT,
        ssl: TLS | ssl_module.SSLContext | bool | None = None,
        server_hostname: str | None = None,
        host: str | None = None,
        port: int | None = None,
        sock: socket.socket | None = None,
        path: str | None = None,
        local_addr: tuple[str | None, int] | None = None,
        family: int = socket.AF_UNSPEC,
        happy_eyeballs_delay: float | None = ATTEMPT_DELAY,
        proxy: str | bool | None = True,
        proxy_ssl: ssl_module.SSLContext | bool | None = None,
        proxy_server_hostname: str | None = None,
        max_redirects: int = REDIRECTS,
        logger: logging.Logger | logging.LoggerAdapter[Any] | None = None,
        create_connection: Callable[..., ClientConnection] | None = None,
        limits: Limits | None = None,
        open_timeout: float | None = 10,
        process_exception: Callable[[Exception], Exception | None] = process_exception,
        reconnect_delays: Callable[[], Iterator[float]] = backoff,
        **options: Unpack[ConnectionOptions],
    ) -> None:
        if isinstance(subprotocols, str):
            raise UsageError("subprotocols must be a list, not a str: put it into brackets")
        self.uri = uri
        self._request = HandshakeRequest(
            uri,
            parse_url(uri),
            _headers(origin, additional_headers, user_agent_header),
            tuple(subprotocols or ()),
            ssl if isinstance(ssl, TLS | ssl_module.SSLContext) else _default_tls,
            server_hostname,
        )
        secure = self._request.url.secure
        if ssl is not None and ssl is not True and not secure:
            raise UsageError("ssl goes with a wss:// URL")
        if ssl is False and secure:
            raise UsageError("a wss:// URL needs TLS: leave ssl out, or use ws://")
        self._dialer = Dialer(
            host=host,
            port=port,
            sock=sock,
            path=path,
            local_addr=local_addr,
            family=family,
            happy_eyeballs_delay=happy_eyeballs_delay,
            proxy=proxy,
            proxy_ssl=proxy_ssl,
            proxy_server_hostname=proxy_server_hostname,
            user_agent=user_agent_header,
        )
        self._max_redirects = max_redirects
        self._process_exception = process_exception
        self._reconnect_delays = reconnect_delays
        self._open_timeout = open_timeout
        self._options = {"limits": limits, "open_timeout": open_timeout, **options}
        self._settings = self._settings_for(self._request)
        self._logger = logger or logging.getLogger("everwire.client")
        self._create_connection = create_connection or ClientConnection
        self.connection: ClientConnection | None = None

    def __await__(self) -> Generator[Any, None, ClientConnection]:
        return self._open().__await__()

    async def __aenter__(self) -> ClientConnection:
        if self.connection is not None:
            raise UsageError("connect() isn't reentrant")
        self.connection = await self
        return self.connection

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        connection, self.connection = self.connection, None
        if connection is not None:
            # Who leaves a loop early does not fail.
            await connection.__aexit__(None if kind is GeneratorExit else kind, value, traceback)

    async def __aiter__(self) -> AsyncIterator[ClientConnection]:
        loop, pace, worked_before = asyncio.get_running_loop(), Pace(self._reconnect_delays), False
        while True:
            error: Exception | None = None
            try:
                async with self as connection:
                    pace.opened(loop.time())
                    worked_before = True
                    yield connection
                    was_left = connection.state is State.OPEN
            except Exception as caught:
                error, was_left = caught, False
                note_worked_before(error, worked_before)
                self._raise_if_final(error)
            if was_left or (error is None and not self._paces_losses):
                pace.reset()
                continue
            delay = pace.delay(loop.time(), at_least=retry_after(error, time.time()))
            if delay is None:
                if error is not None:
                    raise error
                return
            why = "connection lost" if error is None else f"connect failed ({in_a_line(error)})"
            self._logger.info("%s; reconnecting in %.1f seconds", why, delay)
            await asyncio.sleep(delay)

    def _raise_if_final(self, error: Exception) -> None:
        try:
            final = self._process_exception(error)
        except Exception as raised:  # an easy mistake, and clear enough
            final = raised
        if final is error:
            raise error
        if final is not None:
            raise final from error

    async def _open(self) -> ClientConnection:
        try:
            async with asyncio.timeout(self._open_timeout):
                return await self._follow(self._request)
        except TimeoutError as error:
            raise TimeoutError("timed out during opening handshake") from error

    async def _follow(self, request: HandshakeRequest) -> ClientConnection:
        left = self._max_redirects
        while True:
            try:
                # Files that cannot be used are told before anything is sent.
                tls = client_tls(request.tls) if request.url.secure and isinstance(request.tls, TLS) else None
                return await self._handshake(request, await self._dialer.dial(request.url), tls)
            except HandshakeFailed as refused:
                if request.url.origin != self._request.url.origin:
                    refused.redirect = hidden_url(request.uri)
                further = self._redirect(request, refused) if self._max_redirects else None
                if further is None:
                    raise
                if left == 0:
                    raise HandshakeFailed(f"more than {self._max_redirects} redirects", refused.response) from refused
                if self._dialer.sock is not None:
                    where = hidden_url(further.uri)
                    raise UsageError(f"cannot follow redirect to {where} with a preexisting socket") from refused
                request, left = further, left - 1

    def _redirect(self, request: HandshakeRequest, refused: HandshakeFailed) -> HandshakeRequest | None:
        """What to ask for after a refusal; ``None`` for nothing more."""
        return request.follow(refused, self._dialer.tied_to)

    async def _handshake(
        self, request: HandshakeRequest, tunnel: Tunnel, tls: _core.ClientTLS | None
    ) -> ClientConnection:
        loop = asyncio.get_running_loop()
        sock, relay, url = tunnel.sock, tunnel.relay, request.url
        connection: ClientConnection | None = None
        try:
            connection = self._create_connection(self._logger)
            local = sock.getsockname() if relay is None else relay.address
            connection._relay = relay
            connection._opening = loop.create_future()
            shard = shard_of(loop)
            name = request.server_hostname or url.name
            is_same = request.subprotocols == self._request.subprotocols
            settings = self._settings if is_same else self._settings_for(request)
            offer = _core.Offer(settings, url.authority, url.target, request.fields)
            if url.secure and isinstance(request.tls, ssl_module.SSLContext):
                connection._driver = SSLDriver(request.tls, server_side=False, server_name=name)
            shard.connect(connection, sock.detach(), offer, connection._driver or tls, name)
            connection._local = local
            await connection._opening
        except BaseException:
            sock.close()
            if connection is not None:
                connection.abort()
            if relay is not None:
                relay.close_soon()
            raise
        return connection

    def _settings_for(self, request: HandshakeRequest) -> _core.Settings:
        return client_settings(self._options, subprotocols=list(request.subprotocols))


class UnixConnectOptions(HandshakeOptions, total=False):
    """What :func:`~everwire.connect` takes, but for what is about addresses."""

    subprotocols: Sequence[str] | None
    additional_headers: HeadersLike | None
    sock: socket.socket | None
    open_timeout: float | None
    process_exception: Callable[[Exception], Exception | None]
    reconnect_delays: Callable[[], Iterator[float]]
    logger: logging.Logger | logging.LoggerAdapter[Any] | None
    create_connection: Callable[..., ClientConnection] | None


def unix_connect(path: str | None = None, uri: str | None = None, **options: Unpack[UnixConnectOptions]) -> connect:
    """Connect to a Unix socket: :func:`connect` with a path, or with a connected ``sock``.

    Args:
        path: where the socket is.
        uri: what the request says; ``ws://localhost/`` by default, ``wss://localhost/`` with ``ssl``.

    Raises:
        UsageError: neither or both are given.
    """
    if (path is None) == (options.get("sock") is None):
        raise UsageError("give either a path or a connected Unix socket as sock")
    if uri is None:
        uri = "ws://localhost/" if options.get("ssl") is None else "wss://localhost/"
    return connect(uri, path=path, **options)


def _headers(origin: str | None, additional: HeadersLike | None, user_agent: str | None) -> Headers:
    headers = Headers()
    if origin is not None:
        headers["Origin"] = origin
    if additional is not None:
        headers.update(additional)
    if user_agent is not None and "User-Agent" not in headers:
        headers["User-Agent"] = user_agent
    return headers
