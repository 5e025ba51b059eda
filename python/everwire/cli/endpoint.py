"""Where to connect to, as people write it."""

from __future__ import annotations

import dataclasses
import re

from ..errors import UsageError
from ..http import URL, hidden_url, is_loopback, parse_url

__all__ = ["Endpoint"]

_WEB = {"http": "ws", "https": "wss"}


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """A URL, and why it is this one.

    Attributes:
        uri: begins with ``ws://`` or ``wss://``.
        url: the same, read.
        note: why this scheme, if the user gave none; empty if they did.
    """

    uri: str = dataclasses.field(repr=False)
    url: URL
    note: str = ""

    @classmethod
    def parse(cls, given: str) -> Endpoint:
        """Read a URL, or a host with or without port and path: this machine is reached by ``ws://``, others by ``wss://``.

        Raises:
            UsageError: it is neither; the text says what would be.
        """
        scheme, separator, rest = given.partition("://")
        if separator:
            if scheme.lower() in _WEB:
                shown = hidden_url(f"{_WEB[scheme.lower()]}://{rest}", is_sound=False)
                raise UsageError(f"{scheme}:// is for pages: use {shown}")
            return cls(given, parse_url(given))
        if given.startswith(("/", "?", "#")) or not given.strip():
            raise UsageError(
                f"{hidden_url(given, is_sound=False)!r} names no host: use one like wss://example.com/path, or localhost:8000"
            )
        given = f"localhost{given}" if re.match(r":\d", given) else given
        host = parse_url(f"ws://{given}").host
        scheme, why = ("ws", "this machine") if is_loopback(host) else ("wss", "another machine")
        uri = f"{scheme}://{given}"
        return cls(uri, parse_url(uri), f"{scheme}:// because {host} is {why}")

    @property
    def is_exposed(self) -> bool:
        """Whether others can read what is sent: no TLS, and beyond this machine."""
        return not self.url.secure and not is_loopback(self.url.host)
