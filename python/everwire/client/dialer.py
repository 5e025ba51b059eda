"""The way from a client to a server: where it is looked for, from which address of ours, through which proxy."""

from __future__ import annotations

import dataclasses
import functools
import socket
import ssl

from ..errors import UsageError
from ..http import URL
from .proxy import Proxy, parse_proxy, proxy_for
from .racing import ATTEMPT_DELAY, dial, dial_unix
from .tunnel import Tunnel, open_tunnel

__all__ = ["Dialer"]


@dataclasses.dataclass(frozen=True)
class Dialer:
    """What the arguments of :func:`~everwire.connect` say about the way; they are described there.

    Raises:
        UsageError: they do not fit together.
    """

    host: str | None = None
    port: int | None = None
    sock: socket.socket | None = None
    path: str | None = None
    local_addr: tuple[str | None, int] | None = None
    family: int = socket.AF_UNSPEC
    happy_eyeballs_delay: float | None = ATTEMPT_DELAY
    proxy: str | bool | None = dataclasses.field(default=True, repr=False)
    proxy_ssl: ssl.SSLContext | bool | None = None
    proxy_server_hostname: str | None = None
    user_agent: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.proxy, str):
            if self.is_given:
                raise UsageError("a proxy cannot lead to a socket that is given, or to a Unix socket: leave proxy out")
            is_https = parse_proxy(self.proxy).scheme == "https"
            if self.proxy_ssl not in (None, False) and not is_https:
                raise UsageError("proxy_ssl goes with an https:// proxy")
        if self.proxy_ssl is False:
            raise UsageError("an https:// proxy needs TLS: leave proxy_ssl out, or use an http:// proxy")
        if not isinstance(self.proxy_ssl, ssl.SSLContext | bool | None):
            raise UsageError(
                f"proxy_ssl must be an ssl.SSLContext, not {type(self.proxy_ssl).__name__}: asyncio does the TLS to a proxy"
            )
        if self.happy_eyeballs_delay is not None and not self.happy_eyeballs_delay > 0:
            raise UsageError(
                f"happy_eyeballs_delay must be a positive number of seconds, or None; not {self.happy_eyeballs_delay!r}"
            )

    @property
    def is_given(self) -> bool:
        """Whether there is nothing to look up: a connected socket, or the path of a Unix socket."""
        return self.sock is not None or self.path is not None

    @property
    def tied_to(self) -> str | None:
        """Why only one origin can be reached, if so."""
        if self.path is not None:
            return "a Unix socket"
        return "an explicit host or port" if self.host or self.port else None

    def proxy_to(self, url: URL) -> Proxy | None:
        """The proxy on the way to a server, if there is one.

        Raises:
            UsageError: the environment has one whose URL is none.
        """
        if self.is_given or not self.proxy:
            return None
        host, port = self._end(url)
        proxy = proxy_for(host, port, url.secure) if self.proxy is True else self.proxy
        return None if proxy is None else parse_proxy(proxy)

    async def dial(self, url: URL) -> Tunnel:
        """Connect. Cancelling closes everything.

        Raises:
            HandshakeFailed: a proxy refused.
            OSError: no connection could be made.
            UsageError: the environment has a proxy whose URL is none, or that needs a package.
        """
        if self.sock is not None:
            self.sock.setblocking(False)
            return Tunnel(self.sock)
        if self.path is not None:
            return Tunnel(await dial_unix(self.path))
        reach = functools.partial(dial, family=self.family, local_addr=self.local_addr, delay=self.happy_eyeballs_delay)
        host, port = self._end(url)
        proxy = self.proxy_to(url)
        if proxy is None:
            return Tunnel(await reach(host, port))
        return await open_tunnel(
            proxy,
            host,
            port,
            reach,
            tls=self.proxy_ssl if isinstance(self.proxy_ssl, ssl.SSLContext) else None,
            server_name=self.proxy_server_hostname,
            user_agent=self.user_agent,
        )

    def _end(self, url: URL) -> tuple[str, int]:
        return self.host or url.host, self.port or url.port
