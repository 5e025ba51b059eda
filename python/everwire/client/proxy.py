"""Which proxy a client goes through: its URL, and where the system says that there is one."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
import urllib.parse
import urllib.request

from ..errors import UsageError
from ..http import FORBIDDEN, hidden_url, is_loopback

__all__ = ["PROXY_SCHEMES", "Proxy", "join", "parse_proxy", "proxy_for"]

PROXY_SCHEMES = {"http": 80, "https": 443, "socks5h": 1080, "socks5": 1080, "socks4a": 1080, "socks4": 1080}
"""The kinds of proxies, and their usual ports."""


@dataclasses.dataclass(frozen=True)
class Proxy:
    """A proxy.

    Attributes:
        scheme: ``"http"``, ``"https"``, ``"socks5h"``, ``"socks5"``, ``"socks4a"`` or ``"socks4"``.
        host: name or address, without brackets.
        port: its own, or the scheme's: 80, 443, 1080.
        username: the user, if the URL names one.
        password: the password.
    """

    scheme: str
    host: str
    port: int
    username: str | None = None
    password: str | None = dataclasses.field(default=None, repr=False)

    @property
    def is_socks(self) -> bool:
        """Whether it speaks SOCKS, not HTTP."""
        return self.scheme.startswith("socks")

    def __str__(self) -> str:
        # Texts of errors end up in logs, where a password has no business.
        return f"{self.scheme}://{join(self.host, self.port)}"


def join(host: str, port: int) -> str:
    """Host and port as ``CONNECT`` has them (RFC 9112 §3.2.3)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_proxy(url: str) -> Proxy:
    """Read the URL of a proxy: ``scheme://user:password@host:port``.

    Raises:
        UsageError: it is none; the text says what is wrong, without the password.
    """
    shown = hidden_url(url, is_sound=False)
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port
        username = None if parts.username is None else urllib.parse.unquote(parts.username, errors="strict")
        password = None if parts.password is None else urllib.parse.unquote(parts.password, errors="strict")
        host = parts.hostname if parts.hostname is None or parts.hostname.isascii() else _idna(parts.hostname)
    except ValueError:
        # What urllib says quotes parts of the URL, the password among them.
        raise UsageError(
            f"{shown!r} is not the URL of a proxy: its host, port, user or password cannot be read"
        ) from None
    if parts.scheme not in PROXY_SCHEMES:
        raise UsageError(f"{shown!r} is not the URL of a proxy: it begins with {', '.join(PROXY_SCHEMES)}, and ://")
    if not host or (":" not in host and FORBIDDEN.search(host)):
        raise UsageError(f"{shown!r} names no host")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise UsageError(f"{shown!r} has more than a host and a port, which means nothing to a proxy")
    if username is not None and password is None:
        raise UsageError(f"{shown!r} has a user but no password")
    return Proxy(parts.scheme, host, port or PROXY_SCHEMES[parts.scheme], username, password)


def _idna(host: str) -> str:
    return host.encode("idna").decode()


def proxy_for(host: str, port: int, secure: bool) -> str | None:
    """The URL of the proxy that the environment has for a server, if it has one.

    For ``wss://`` servers that is the first of ``wss_proxy``, ``socks_proxy`` and ``https_proxy``; for ``ws://`` servers of
    ``ws_proxy``, ``socks_proxy``, ``https_proxy`` and ``http_proxy`` (RFC 6455 §4.1: SOCKS first, then HTTPS); for both at last
    ``all_proxy``. In lower or upper case; on macOS the system's settings count, too.

    This machine is reached without one, and so is what ``no_proxy`` has: names with all that is below them (``.example`` is the
    same as ``example``), ``*.example`` for what is below alone, addresses, networks (``10.0.0.0/8``), each with a port if only
    that one is meant; ``*`` for all.
    """
    if is_loopback(host) or _is_excepted(host, port):
        return None
    proxies = urllib.request.getproxies()
    for scheme in ("wss", "socks", "https", "all") if secure else ("ws", "socks", "https", "http", "all"):
        proxy = proxies.get(scheme)
        if proxy is None:
            continue
        kind, separator, rest = proxy.rpartition("://")
        if scheme == "socks" and kind in ("", "http"):
            return f"socks5h://{rest}"
        return proxy if separator else f"http://{proxy}"
    return None


def _is_excepted(host: str, port: int) -> bool:
    """Whether the environment, or the system, says that a host is reached without a proxy."""
    excepted = urllib.request.getproxies_environment().get("no")
    if excepted is None:
        return bool(urllib.request.proxy_bypass(f"{host}:{port}"))
    return any(_covers(entry, host.lower().rstrip("."), port) for entry in re.split(r"[,\s]+", excepted) if entry)


def _covers(entry: str, host: str, port: int) -> bool:
    """Whether one entry of ``no_proxy`` is about a host."""
    if entry == "*":
        return True
    match = re.fullmatch(r"\[([^\]]*)\](?::(\d+))?|([^:]*):(\d+)", entry)
    if match is not None:
        entry, only = match[1] or match[3] or "", match[2] or match[4]
        if only is not None and int(only) != port:
            return False
    address = _address(host)
    if address is not None:
        try:
            return address in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False  # about names
    name = entry.lower().rstrip(".")
    if name.startswith("*."):
        return host.endswith(name[1:])
    name = name.lstrip(".")
    return host == name or host.endswith(f".{name}")


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
