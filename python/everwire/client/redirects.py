"""Where a client connects to, and where a server may send it instead (RFC 9110 §15.4)."""

from __future__ import annotations

import base64
import dataclasses
import ssl
import urllib.parse
from collections.abc import Sequence

from ..errors import HandshakeFailed, UsageError
from ..http import URL, Headers, hidden_url, parse_url, secrets_among
from ..tls import TLS
from .identity import without_identity

__all__ = ["REDIRECTS", "HandshakeRequest"]

REDIRECTS = 10
"""How many redirects are followed unless the program says otherwise: two are rare, and a loop must end."""

_STATUSES = (300, 301, 302, 303, 307, 308)
_CREDENTIALS = ("authorization", "cookie", "proxy-authorization")
_SCHEMES = {"http": "ws", "https": "wss"}


@dataclasses.dataclass(frozen=True)
class HandshakeRequest:
    """A URL, and what goes there: the fields of the request, and what TLS shows and asks for.

    Attributes:
        uri: the URL.
        url: the same, read.
        headers: the program's own fields.
        subprotocols: to offer.
        tls: what is trusted and shown.
        server_hostname: the name that the certificate must be for, if not that in the URL.
    """

    uri: str = dataclasses.field(repr=False)
    url: URL
    headers: Headers
    subprotocols: tuple[str, ...] = dataclasses.field(default=(), repr=False)
    tls: TLS | ssl.SSLContext = dataclasses.field(default_factory=TLS)
    server_hostname: str | None = None

    @classmethod
    def parse(cls, uri: str, headers: Headers, subprotocols: Sequence[str] = ()) -> HandshakeRequest:
        """Read a URL.

        Raises:
            UsageError: it is none for WebSockets.
        """
        return cls(uri, parse_url(uri), headers, tuple(subprotocols))

    @property
    def fields(self) -> list[tuple[str, str]]:
        """The request's fields, besides those of the handshake itself."""
        fields = list(self.headers.raw_items())
        if self.url.user is not None and "Authorization" not in self.headers:
            credentials = f"{self.url.user}:{self.url.password}".encode()
            fields.append(("Authorization", f"Basic {base64.b64encode(credentials).decode()}"))
        return fields

    def to(self, uri: str) -> HandshakeRequest:
        """The same request to another URL.

        Credentials stay with the origin that they are for: another one gets neither those of the URL nor the fields
        ``Authorization``, ``Cookie`` and ``Proxy-Authorization``, nor a subprotocol that is a token or announces one, with that
        behind it, nor the client certificate; and it must have a certificate for its own name. The same origin gets all of them.

        Raises:
            UsageError: the URL is none for WebSockets.
        """
        url = parse_url(uri)
        if self.url.origin == url.origin:
            if url.user is None:
                url = dataclasses.replace(url, user=self.url.user, password=self.url.password)
            return dataclasses.replace(self, uri=uri, url=url)
        return HandshakeRequest(
            uri,
            url,
            self.headers.without(_CREDENTIALS),
            tuple(
                name
                for name, is_secret in zip(self.subprotocols, secrets_among(self.subprotocols), strict=True)
                if not is_secret
            ),
            without_identity(self.tls) if url.secure else self.tls,
        )

    def follow(self, refused: HandshakeFailed, tied_to: str | None) -> HandshakeRequest | None:
        """Where a server sends the client that it refused, as :meth:`to`; ``None`` if it does not, or a proxy answered.

        Args:
            refused: the server's answer.
            tied_to: why only this origin can be connected to, if so.

        Raises:
            HandshakeFailed: it must not be followed: from TLS to plain text.
            UsageError: it cannot be followed, as the program asked to be connected elsewhere than the URL says.
        """
        response = refused.response
        if refused.proxy is not None or response is None or response.status_code not in _STATUSES:
            return None
        if "Location" not in response.headers:
            return None
        # A fragment is for whoever shows a page (RFC 9110 §10.2.2).
        try:
            uri = urllib.parse.urldefrag(urllib.parse.urljoin(self.uri, response.headers.get_all("Location")[0])).url
            scheme, colon, rest = uri.partition(":")
            uri = _SCHEMES.get(scheme.lower(), scheme) + colon + rest
            further = self.to(uri)
        except UsageError as error:
            raise HandshakeFailed(f"cannot follow redirect: {error}", response) from refused
        except ValueError:
            # What urllib says quotes parts of the URL.
            raise HandshakeFailed("cannot follow redirect: its Location is no URL", response) from refused
        if self.url.secure and not further.url.secure:
            text = f"cannot follow redirect to non-secure URI {hidden_url(uri)}"
            raise HandshakeFailed(text, response) from refused
        if tied_to is not None and self.url.origin != further.url.origin:
            raise UsageError(f"cannot follow cross-origin redirect to {hidden_url(uri)} with {tied_to}") from refused
        return further
