"""``websockets.uri``: WebSocket URLs."""

from __future__ import annotations

import dataclasses

from ...errors import UsageError
from ...http import parse_url
from .exceptions import InvalidURI

__all__ = ["WebSocketURI", "parse_uri"]


@dataclasses.dataclass
class WebSocketURI:
    """A URL in parts.

    Attributes:
        secure: whether it is ``wss``.
        host: in lower case, without brackets.
        port: its own, or the scheme's.
        path: without the query; may be empty.
        query: without the question mark; may be empty.
        username: the user, if it names one.
        password: the password.
    """

    secure: bool
    host: str
    port: int
    path: str
    query: str
    username: str | None = None
    password: str | None = None

    @property
    def resource_name(self) -> str:
        """What the request line asks for."""
        target = self.path or "/"
        return f"{target}?{self.query}" if self.query else target

    @property
    def user_info(self) -> tuple[str, str] | None:
        """User and password."""
        return None if self.username is None or self.password is None else (self.username, self.password)


def parse_uri(uri: str) -> WebSocketURI:
    """Read a ``ws://`` or ``wss://`` URL.

    Raises:
        InvalidURI: it is none.
    """
    try:
        url = parse_url(uri)
    except UsageError as error:
        raise InvalidURI(uri, str(error)) from None
    path, _, query = url.target.partition("?")
    return WebSocketURI(url.secure, url.host, url.port, path, query, url.user, url.password)
