"""Where a client connects to, and where a server may send it instead (RFC 9110 §15.4)."""

from __future__ import annotations

import base64
import dataclasses
import urllib.parse

from .errors import HandshakeFailed, UsageError
from .headers import Headers
from .url import Address, parse_url

__all__ = ["REDIRECTS", "Target"]

REDIRECTS = 10
"""How many redirects are followed: two are rare, and a loop must end."""

_STATUSES = (300, 301, 302, 303, 307, 308)
_CREDENTIALS = ("authorization", "cookie", "proxy-authorization")
_SCHEMES = {"http": "ws", "https": "wss"}


@dataclasses.dataclass(frozen=True)
class Target:
    """A URL and the fields of the request that goes there.

    Attributes:
        uri: the URL.
        address: what it says.
        headers: the program's own fields.
    """

    uri: str
    address: Address
    headers: Headers

    @classmethod
    def parse(cls, uri: str, headers: Headers) -> Target:
        """Read a URL.

        Raises:
            UsageError: it is none for WebSockets.
        """
        return cls(uri, parse_url(uri), headers)

    @property
    def fields(self) -> list[tuple[str, str]]:
        """The request's fields, besides those of the handshake itself."""
        fields = list(self.headers.raw_items())
        if self.address.user is not None and "Authorization" not in self.headers:
            credentials = f"{self.address.user}:{self.address.password}".encode()
            fields.append(("Authorization", f"Basic {base64.b64encode(credentials).decode()}"))
        return fields

    def follow(self, refused: HandshakeFailed, tied_to: str | None) -> Target | None:
        """Where a server sends the client that it refused; ``None`` if it does not.

        Credentials stay with the origin that they are for: another one gets neither those of the program nor those of the URL.

        Args:
            refused: the server's answer.
            tied_to: why only this origin can be connected to, if so.

        Raises:
            HandshakeFailed: it must not be followed: from TLS to plain text.
            UsageError: it cannot be followed, as the program asked to be connected elsewhere than the URL says.
        """
        response = refused.response
        if response is None or response.status_code not in _STATUSES or "Location" not in response.headers:
            return None
        uri = urllib.parse.urljoin(self.uri, response.headers.get_all("Location")[0])
        scheme, colon, rest = uri.partition(":")
        uri = _SCHEMES.get(scheme.lower(), scheme) + colon + rest
        try:
            address = parse_url(uri)
        except UsageError as error:
            raise HandshakeFailed(f"cannot follow redirect: {error}", response) from refused
        if self.address.secure and not address.secure:
            raise HandshakeFailed(f"cannot follow redirect to non-secure URI {uri}", response) from refused
        if self.address.origin == address.origin:
            return Target(uri, address, self.headers)
        if tied_to is not None:
            raise UsageError(f"cannot follow cross-origin redirect to {uri} with {tied_to}") from refused
        return Target(uri, address, self.headers.without(_CREDENTIALS))
