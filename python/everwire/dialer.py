"""Connecting: a URL, a socket, the opening handshake, a connection."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl as ssl_module
import sys
import traceback as traceback_module
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence
from types import TracebackType
from typing import Any

from . import _core
from .connection import Connection, State
from .errors import HandshakeFailed, ProtocolError, UsageError, system_error
from .handshake import Response, parse_response
from .headers import Headers, HeadersLike
from .limits import Limits
from .outside import Outside
from .reconnect import backoff, process_exception
from .settings import client_settings
from .shards import shard_of
from .target import REDIRECTS, Target
from .tls import TLS

__all__ = ["ClientConnection", "connect", "unix_connect"]

USER_AGENT = f"Python/{sys.version_info.major}.{sys.version_info.minor} everwire/{_core.__version__}"
_default_tls = TLS()


class ClientConnection(Connection):
    """A connection that :func:`connect` opened."""

    def __init__(self, logger: logging.Logger | logging.LoggerAdapter[Any] | None = None) -> None:
        if logger is not None:
            self._base_logger = logger
        self._opening: asyncio.Future[None] | None = None

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

    def _failed(
        self, connection: ClientConnection, kind: str, text: str, status: int, head: bytes | None, body: bytes
    ) -> None:
        if self._opening is None or self._opening.done():
            return
        self._opening.set_exception(_failure(kind, text, status, head, body))


class connect:  # noqa: N801 - used as a function
    """Open a WebSocket connection.

    Use it as ``async with connect(url) as ws:``, which closes it in the end, or ``ws = await connect(url)``, or connect again
    whenever the connection is lost: ``async for ws in connect(url):``. Redirects are followed, without credentials to others.

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
            by default those of the network are not, nor are 500, 502, 503 and 504.
        reconnect_delays: makes the seconds to wait before each attempt, from the first failure to the next success.
        ssl: :class:`~everwire.TLS`, any :class:`ssl.SSLContext`, or ``True``/``None`` for the system's roots.
        server_hostname: the name that the certificate must be for, if not that in the URL.
        host, port: where to connect, if not where the URL says.
        sock: a connected socket to use.
        local_addr: our own address to bind to.
        family: ``socket.AF_INET`` or ``AF_INET6`` to use only one.
        logger: where to log; ``everwire.client`` by default.
        create_connection: makes the connection: a subclass of :class:`ClientConnection`.

    Raises:
        HandshakeFailed: the server answered something else than a WebSocket handshake, or broke its rules.
        TimeoutError: it took longer than ``open_timeout``.
        OSError: no connection could be made.
        UsageError: the arguments do not fit together; the text says what to do.
    """

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
        local_addr: tuple[str, int] | None = None,
        family: int = socket.AF_UNSPEC,
        logger: logging.Logger | logging.LoggerAdapter[Any] | None = None,
        create_connection: Callable[..., ClientConnection] | None = None,
        limits: Limits | None = None,
        open_timeout: float | None = 10,
        process_exception: Callable[[Exception], Exception | None] = process_exception,
        reconnect_delays: Callable[[], Iterator[float]] = backoff,
        **options: Any,
    ) -> None:
        if isinstance(subprotocols, str):
            raise UsageError(f"subprotocols must be a list, not a str: use [{subprotocols!r}]")
        self.uri = uri
        self._target = Target.parse(uri, _headers(origin, additional_headers, user_agent_header))
        secure = self._target.address.secure
        if ssl is not None and ssl is not True and not secure:
            raise UsageError("ssl goes with a wss:// URL")
        if ssl is False and secure:
            raise UsageError("a wss:// URL needs TLS: leave ssl out, or use ws://")
        self._tls = ssl if isinstance(ssl, TLS | ssl_module.SSLContext) else _default_tls
        self._server_hostname = server_hostname
        self._where = (host, port, sock, path, local_addr, family)
        self._process_exception = process_exception
        self._reconnect_delays = reconnect_delays
        self._open_timeout = open_timeout
        self._settings = client_settings(
            {"limits": limits, "open_timeout": open_timeout, **options}, subprotocols=list(subprotocols or ())
        )
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
        delays: Iterator[float] | None = None
        while True:
            try:
                async with self as connection:
                    delays = None
                    yield connection
            except Exception as error:
                final = self._process_exception(error)
                if final is error:
                    raise
                if final is not None:
                    raise final from error
                delays = delays or self._reconnect_delays()
                delay = next(delays)
                self._logger.info("connect failed; reconnecting in %.1f seconds: %s", delay, _in_a_line(error))
                await asyncio.sleep(delay)

    async def _open(self) -> ClientConnection:
        try:
            async with asyncio.timeout(self._open_timeout):
                return await self._follow(self._target)
        except TimeoutError as error:
            raise TimeoutError("timed out during opening handshake") from error

    async def _follow(self, target: Target) -> ClientConnection:
        host, port, sock, path, _, _ = self._where
        tied_to = "a Unix socket" if path is not None else "an explicit host or port" if host or port else None
        last: HandshakeFailed | None = None
        for _ in range(REDIRECTS):
            try:
                return await self._handshake(target, await self._dial(target))
            except HandshakeFailed as refused:
                further = target.follow(refused, tied_to)
                if further is None:
                    raise
                if sock is not None:
                    raise UsageError(f"cannot follow redirect to {further.uri} with a preexisting socket") from refused
                target, last = further, refused
        raise HandshakeFailed(f"more than {REDIRECTS} redirects", None if last is None else last.response) from last

    async def _dial(self, target: Target) -> socket.socket:
        host, port, sock, path, local_addr, family = self._where
        host, port = host or target.address.host, port or target.address.port
        if sock is not None:
            sock.setblocking(False)
            return sock
        loop = asyncio.get_running_loop()
        if path is not None:
            return await _connected(socket.AF_UNIX, path, None)
        errors: list[OSError] = []
        for kind, _, _, _, address in await loop.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM):
            try:
                return await _connected(kind, address, local_addr)
            except OSError as error:
                errors.append(error)
        if len(errors) == 1:
            raise errors[0]
        raise OSError(f"cannot connect to {host}:{port}: {'; '.join(map(str, errors))}")

    async def _handshake(self, target: Target, sock: socket.socket) -> ClientConnection:
        loop = asyncio.get_running_loop()
        connection = self._create_connection(self._logger)
        connection._local = sock.getsockname()
        connection._opening = loop.create_future()
        shard = shard_of(loop)
        address = target.address
        offer = (address.authority, address.target, target.fields)
        hostname = self._server_hostname or address.host
        try:
            if address.secure and isinstance(self._tls, ssl_module.SSLContext):
                await self._handshake_outside(shard, connection, sock, hostname, offer)
            else:
                tls = self._tls._for_client() if address.secure and isinstance(self._tls, TLS) else None
                shard.connect(connection, sock.detach(), self._settings, connection, *offer, tls, hostname)
            await connection._opening
        except BaseException:
            sock.close()
            connection.abort()
            raise
        return connection

    async def _handshake_outside(
        self,
        shard: _core.Shard,
        connection: ClientConnection,
        sock: socket.socket,
        hostname: str,
        offer: tuple[Any, ...],
    ) -> None:
        def attach(driver: Outside, peer: tuple[str, int] | None) -> tuple[Connection, int]:
            return connection, shard.attach(connection, self._settings, connection, driver, peer, *offer)

        assert isinstance(self._tls, ssl_module.SSLContext)
        await asyncio.get_running_loop().create_connection(
            lambda: Outside(shard, attach), sock=sock, ssl=self._tls, server_hostname=hostname
        )


def unix_connect(path: str | None = None, uri: str | None = None, **options: Any) -> connect:
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


async def _connected(family: int, address: Any, local: tuple[str, int] | None) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        if local is not None:
            sock.bind(local)
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


def _headers(origin: str | None, additional: HeadersLike | None, user_agent: str | None) -> Headers:
    headers = Headers()
    if origin is not None:
        headers["Origin"] = origin
    if additional is not None:
        headers.update(additional)
    if user_agent is not None and "User-Agent" not in headers:
        headers["User-Agent"] = user_agent
    return headers


def _in_a_line(error: Exception) -> str:
    return traceback_module.format_exception_only(error)[0].strip()


def _failure(kind: str, text: str, status: int, head: bytes | None, body: bytes) -> Exception:
    response = None if head is None else parse_response(head, body)
    match kind:
        case "refused":
            return HandshakeFailed(f"the server answered {status} instead of 101", response)
        case "io":
            return system_error(status, text)
        case "timeout":
            return TimeoutError(text)
        case _:
            error = HandshakeFailed(text, response)
            match kind:
                case "eof":
                    error = HandshakeFailed("the server hung up during the opening handshake", response)
                    error.__cause__ = EOFError(text)
                case "tls":
                    error.__cause__ = ssl_module.SSLError(1, text)
                case "protocol":
                    error.__cause__ = ProtocolError(text)
            return error
