"""A way through a proxy: ``CONNECT`` (RFC 9110 §9.3.6) and SOCKS, on a connected socket."""

from __future__ import annotations

import asyncio
import base64
import re
import socket
import ssl
from collections.abc import Awaitable, Callable

from .. import _core
from ..errors import HandshakeFailed, UsageError
from ..http import Response, parse_response
from .failures import tls_failure
from .proxy import Proxy, join
from .relay import Relay

__all__ = ["Tunnel", "open_tunnel"]

HEAD = 16 * 1024
"""Bytes that a proxy may say before it lets us through, interim answers included."""
BODY = 64 * 1024
"""Bytes that are kept of the page that explains why it does not."""
BODY_TIME = 2.0
"""Seconds that this page may take: the refusal itself is known by then."""

_SOUND = re.compile(
    rb"HTTP/1\.[01] [1-5][0-9]{2}(?: [^\r\n\0]*)?\r\n"
    rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\r\n\0]*\r\n)*\r\n"
)
_FOREVER = 10.0 * 365 * 86400

Dial = Callable[[str, int], Awaitable[socket.socket]]
"""Makes a connected socket to a host and port."""


class Tunnel:
    """A socket whose bytes go to the server and come from it.

    Attributes:
        sock: the socket.
        relay: what carries its bytes, if it is one end of a pair.
    """

    def __init__(self, sock: socket.socket, relay: Relay | None = None) -> None:
        self.sock = sock
        self.relay = relay


async def open_tunnel(
    proxy: Proxy,
    host: str,
    port: int,
    dial: Dial,
    *,
    tls: ssl.SSLContext | None = None,
    server_name: str | None = None,
    user_agent: str | None = None,
) -> Tunnel:
    """Have a proxy connect us to a server. Cancelling closes everything.

    Args:
        proxy: the proxy.
        host, port: the server.
        dial: connects to the proxy.
        tls: trusts an ``https`` proxy; the system's roots by default.
        server_name: the name that its certificate must be for, if not its own.
        user_agent: what ``CONNECT`` says that we are.

    Raises:
        HandshakeFailed: the proxy refused, did not speak its protocol, or is not trusted; ``proxy`` is set.
        OSError: it cannot be reached.
        UsageError: it is a SOCKS proxy, and ``python-socks`` is not installed.
    """
    if proxy.is_socks:
        return Tunnel(await _socks(proxy, host, port, dial))
    sock = await dial(proxy.host, proxy.port)
    relay = None
    if proxy.scheme == "https":
        try:
            relay = await Relay.open(sock, tls or ssl.create_default_context(), server_name or proxy.host)
        except OSError as error:
            error.add_note(f"This is about TLS with the proxy {proxy}, not with the server.")
            failed = tls_failure(error, f"the proxy {proxy}", str(proxy))
            raise failed from failed.__cause__
        sock = relay.sock
    try:
        await _connect(proxy, sock, _request(proxy, join(host, port), user_agent))
    except BaseException:
        sock.close()
        if relay is not None:
            relay.close_soon()
        raise
    return Tunnel(sock, relay)


# HTTP


def _request(proxy: Proxy, authority: str, user_agent: str | None) -> bytes:
    lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"]
    if user_agent is not None:
        lines.append(f"User-Agent: {user_agent}")
    if proxy.username is not None:
        credentials = base64.b64encode(f"{proxy.username}:{proxy.password}".encode()).decode()
        lines.append(f"Proxy-Authorization: Basic {credentials}")
    for line in lines:
        if any(character < " " and character != "\t" for character in line):
            name = line.partition(":")[0]
            raise UsageError(f"{name!r} cannot be sent to a proxy: it has control characters")
    return "\r\n".join([*lines, "", ""]).encode()


async def _connect(proxy: Proxy, sock: socket.socket, request: bytes) -> None:
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, request)
    left, rest = HEAD, b""
    while True:
        head, rest = await _head(proxy, sock, rest, left)
        left -= len(head)
        response = parse_response(head, b"")
        if not (100 <= response.status_code < 200 and response.status_code != 101):
            break
    if 200 <= response.status_code < 300:
        # A WebSocket server says nothing before it is asked: whoever said this, it is not the server.
        if rest:
            raise _failed(proxy, "sent data before it was asked for any")
        return
    response.body = await _body(sock, rest, head)
    raise _failed(proxy, _refusal(proxy, response), response)


async def _head(proxy: Proxy, sock: socket.socket, data: bytes, limit: int) -> tuple[bytes, bytes]:
    while (end := data.find(b"\r\n\r\n") + 4) < 4:
        if len(data) >= limit:
            raise _failed(proxy, f"answered with a head of more than {HEAD} bytes")
        more = await asyncio.get_running_loop().sock_recv(sock, min(4096, limit - len(data)))
        if not more:
            raise _failed(proxy, "hung up before it answered") from EOFError("no complete response head")
        data += more
    if _SOUND.fullmatch(data[:end]) is None:
        raise _failed(proxy, "did not answer in HTTP")
    return data[:end], data[end:]


async def _body(sock: socket.socket, data: bytes, head: bytes) -> bytes:
    """What comes of the body that this head announces."""
    body = _core.Body(head, BODY)
    try:
        async with asyncio.timeout(BODY_TIME):
            while not body.take(data):
                data = await asyncio.get_running_loop().sock_recv(sock, 4096)
                if not data:
                    break
    except (TimeoutError, ConnectionError):
        pass  # the body is a courtesy
    return body.data


def _refusal(proxy: Proxy, response: Response) -> str:
    text = f"answered {response.status_code} {response.reason_phrase}".rstrip()
    if response.status_code != 407:
        return text
    schemes = [value.split(" ")[0] for value in response.headers.get_all("Proxy-Authenticate")]
    if schemes and "basic" not in [scheme.lower() for scheme in schemes]:
        return f"{text}: it wants {', '.join(schemes)}, and only Basic authentication is offered"
    if proxy.username is None:
        return f"{text}: put the user and password into its URL, as {proxy.scheme}://user:password@host"
    return f"{text}: it does not know this user with this password"


# SOCKS


class _Dialer:
    """Stands for a proxy before the proxy, which is how ``python-socks`` takes a connection that somebody else makes."""

    def __init__(self, dial: Dial) -> None:
        self._dial = dial
        self.failure: OSError | None = None

    async def connect(self, dest_host: str, dest_port: int, **_: object) -> socket.socket:
        try:
            return await self._dial(dest_host, dest_port)
        except OSError as error:
            self.failure = error
            raise


async def _socks(proxy: Proxy, host: str, port: int, dial: Dial) -> socket.socket:
    try:
        from python_socks import ProxyType
        from python_socks.async_.asyncio import Proxy as SocksProxy
    except ImportError as error:
        raise UsageError("SOCKS proxies need the package python-socks: pip install everwire[socks]") from error
    dialer = _Dialer(dial)
    socks = SocksProxy(
        ProxyType.SOCKS5 if proxy.scheme.startswith("socks5") else ProxyType.SOCKS4,
        proxy.host,
        proxy.port,
        proxy.username,
        proxy.password,
        rdns=proxy.scheme in ("socks5h", "socks4a"),
        forward=dialer,  # type: ignore[arg-type]
    )
    try:
        return await socks.connect(host, port, timeout=_FOREVER)
    except OSError as error:
        # The library says it in its own way; what our own attempts met says more.
        raise (dialer.failure or error) from None
    except Exception as error:
        # Whatever a proxy makes the library raise, the library's own bugs included, is a handshake that failed.
        raise _failed(proxy, f"did not connect: {error}") from error


def _failed(proxy: Proxy, text: str, response: Response | None = None) -> HandshakeFailed:
    return HandshakeFailed(f"the proxy {proxy} {text}", response, proxy=str(proxy))
