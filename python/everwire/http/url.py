"""WebSocket URLs (RFC 6455 §3)."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
import urllib.parse

from ..errors import UsageError
from .secrets import hidden_url

__all__ = ["FORBIDDEN", "URL", "is_loopback", "parse_url"]

FORBIDDEN = re.compile(r"[\x00-\x20\x7f#%/:<>?@\[\\\]^|]")
"""What no host has (URL Standard, forbidden domain code points)."""


@dataclasses.dataclass(frozen=True)
class URL:
    """A WebSocket URL, read: where it leads.

    Attributes:
        secure: whether it is ``wss``.
        host: name or address, without brackets.
        port: its own, or the scheme's.
        target: path and query, for the request line.
        user: the user, if it names one.
        password: the password.
    """

    secure: bool
    host: str
    port: int
    target: str = dataclasses.field(repr=False)
    user: str | None = dataclasses.field(default=None, repr=False)
    password: str | None = dataclasses.field(default=None, repr=False)

    @property
    def origin(self) -> tuple[bool, str, int]:
        """What two URLs share that lead to the same server."""
        return self.secure, self.host, self.port

    @property
    def name(self) -> str:
        """The host as others know it: without the zone of an IPv6 address, which is one of our interfaces (RFC 6874 §4)."""
        return self.host.partition("%")[0]

    @property
    def authority(self) -> str:
        """Host and port as the ``Host`` field has them: without the scheme's own port."""
        host = f"[{self.name}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"


def parse_url(url: str) -> URL:
    """Read a ``ws://`` or ``wss://`` URL.

    Raises:
        UsageError: it is none, or has a fragment; the text shows it without user and password.
    """
    # Texts of errors end up in logs, where a password has no business. What urllib says quotes parts of the URL.
    shown = hidden_url(url, is_sound=False)
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port
    except ValueError:
        raise UsageError(
            f"{shown!r} is not a URL: its host cannot be read, or its port is not one from 0 to 65535"
        ) from None
    if parts.scheme not in ("ws", "wss"):
        raise UsageError(f"{shown!r} is not a WebSocket URL: it begins with ws:// or wss://")
    if not parts.hostname:
        raise UsageError(f"{shown!r} names no host")
    if parts.fragment or url.endswith("#"):
        raise UsageError(f"{shown!r} has a fragment, which a WebSocket URL must not (RFC 6455 section 3)")
    if parts.username is not None and parts.password is None:
        raise UsageError(f"{shown!r} has a user but no password")
    host = parts.hostname
    try:
        host = host if host.isascii() else host.encode("idna").decode()
    except UnicodeError as error:
        raise UsageError(f"{shown!r} names no host: {error}") from None
    if ":" not in host and FORBIDDEN.search(host):
        raise UsageError(f"{shown!r} names no host: {host!r} has a character that no name has")
    target = urllib.parse.quote(parts.path or "/", safe="/%:=&?~#+!$,;'@()*[]")
    if parts.query:
        target += "?" + urllib.parse.quote(parts.query, safe="/%:=&?~+!$,;'@()*[]")
    secure = parts.scheme == "wss"
    user = None if parts.username is None else urllib.parse.unquote(parts.username)
    password = None if parts.password is None else urllib.parse.unquote(parts.password)
    return URL(secure, host, port or (443 if secure else 80), target, user, password)


def is_loopback(host: str) -> bool:
    """Whether a host, a name or an address, is this machine by its name alone (RFC 6761 §6.3), or can be reached from it only."""
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False  # a name of some other machine
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback
