"""``websockets.proxy``: URLs of proxies, and the one that the environment has."""

from __future__ import annotations

import dataclasses

from ... import client as core
from ...errors import UsageError
from .exceptions import InvalidProxy
from .uri import WebSocketURI

__all__ = ["Proxy", "get_proxy", "parse_proxy"]


@dataclasses.dataclass
class Proxy:
    """A proxy.

    Attributes:
        scheme: ``"socks5h"``, ``"socks5"``, ``"socks4a"``, ``"socks4"``, ``"https"`` or ``"http"``.
        host: in lower case, without brackets.
        port: its own, or the scheme's.
        username: the user, if the URL names one.
        password: the password.
    """

    scheme: str
    host: str
    port: int
    username: str | None = None
    password: str | None = None

    @property
    def user_info(self) -> tuple[str, str] | None:
        """User and password."""
        return None if self.username is None or self.password is None else (self.username, self.password)


def parse_proxy(proxy: str) -> Proxy:
    """Read the URL of a proxy.

    Raises:
        InvalidProxy: it is none.
    """
    scheme = proxy.partition(":")[0].lower()
    if scheme not in core.PROXY_SCHEMES:
        raise InvalidProxy(proxy, f"scheme {scheme} isn't supported")
    try:
        parsed = core.parse_proxy(proxy)
    except UsageError as error:
        raise InvalidProxy(proxy, str(error)) from None
    return Proxy(parsed.scheme, parsed.host, parsed.port, parsed.username, parsed.password)


def get_proxy(uri: WebSocketURI) -> str | None:
    """The URL of the proxy that the environment has for a server, if it has one."""
    return core.proxy_for(uri.host, uri.port, uri.secure)
