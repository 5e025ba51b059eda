"""Where a client connects to, and where a server may send it instead (RFC 9110 §15.4)."""

from __future__ import annotations

import base64
import dataclasses
import re
import urllib.parse
from collections.abc import Iterator, Sequence

from ..errors import HandshakeFailed, UsageError
from ..http import URL, Headers, parse_url

__all__ = ["REDIRECTS", "HandshakeRequest"]

REDIRECTS = 10
"""How many redirects are followed unless the program says otherwise: two are rare, and a loop must end."""

_STATUSES = (300, 301, 302, 303, 307, 308)
_CREDENTIALS = ("authorization", "cookie", "proxy-authorization")
# There is no rule for tokens in subprotocols, only customs: a word that announces one, or a JSON Web Token as it is.
_ANNOUNCEMENT = re.compile(
    r"(?:^|[._-])(?:access_?token|auth(?:orization)?|bearer|jwt|token)(?:[._-]|$)", re.IGNORECASE
)
_WEB_TOKEN = re.compile(r"ey[\w-]+\.[\w-]+\.[\w-]*")
_SCHEMES = {"http": "ws", "https": "wss"}


@dataclasses.dataclass(frozen=True)
class HandshakeRequest:
    """A URL and the fields of the request that goes there.

    Attributes:
        uri: the URL.
        url: the same, read.
        headers: the program's own fields.
        subprotocols: to offer.
    """

    uri: str
    url: URL
    headers: Headers
    subprotocols: tuple[str, ...] = ()

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

    def follow(self, refused: HandshakeFailed, tied_to: str | None) -> HandshakeRequest | None:
        """Where a server sends the client that it refused; ``None`` if it does not.

        Credentials stay with the origin that they are for: another one gets neither those of the URL nor the fields
        ``Authorization``, ``Cookie`` and ``Proxy-Authorization``, nor a subprotocol that is a token or announces one, with that
        behind it. The same origin gets all of them. What a proxy answers leads nowhere.

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
            url = parse_url(uri)
        except (UsageError, ValueError) as error:
            raise HandshakeFailed(f"cannot follow redirect: {error}", response) from refused
        if self.url.secure and not url.secure:
            raise HandshakeFailed(f"cannot follow redirect to non-secure URI {uri}", response) from refused
        if self.url.origin == url.origin:
            if url.user is None:
                url = dataclasses.replace(url, user=self.url.user, password=self.url.password)
            return dataclasses.replace(self, uri=uri, url=url)
        if tied_to is not None:
            raise UsageError(f"cannot follow cross-origin redirect to {uri} with {tied_to}") from refused
        return HandshakeRequest(uri, url, self.headers.without(_CREDENTIALS), tuple(_without_tokens(self.subprotocols)))


def _without_tokens(subprotocols: Sequence[str]) -> Iterator[str]:
    is_announced = False
    for name in subprotocols:
        is_secret = is_announced or _ANNOUNCEMENT.search(name) or _WEB_TOKEN.fullmatch(name)
        is_announced = not is_announced and _ANNOUNCEMENT.fullmatch(name) is not None
        if not is_secret:
            yield name
