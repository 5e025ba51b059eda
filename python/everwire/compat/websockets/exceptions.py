"""``websockets.exceptions``: that package's tree of names over the few classes of :mod:`everwire.errors`.

Names that mean what one of Everwire's classes means *are* that class; the finer ones derive from it. So ``except`` with either
package's names catches what the other raises.

====================================  ================================
name                                  class of ``everwire.errors``
====================================  ================================
``WebSocketException``                ``EverwireError``
``ConnectionClosed``, ``...OK``, …    the same names
``InvalidHandshake``                  ``HandshakeFailed``
``ConcurrencyError``, ``InvalidState``  ``UsageError``
``ProtocolError``                     ``ProtocolError``
``PayloadTooBig``                     ``LimitExceeded``
====================================  ================================
"""

from __future__ import annotations

from ...errors import (
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    EverwireError,
    HandshakeFailed,
    LimitExceeded,
    ProtocolError,
    UsageError,
)
from ...http import Response, hidden_url

__all__ = [
    "ConcurrencyError",
    "ConnectionClosed",
    "ConnectionClosedError",
    "ConnectionClosedOK",
    "DuplicateParameter",
    "HeaderLineTooLong",
    "InvalidHandshake",
    "InvalidHeader",
    "InvalidHeaderFormat",
    "InvalidHeaderValue",
    "InvalidMessage",
    "InvalidMethod",
    "InvalidOrigin",
    "InvalidParameterName",
    "InvalidParameterValue",
    "InvalidProtocol",
    "InvalidProxy",
    "InvalidProxyMessage",
    "InvalidProxyStatus",
    "InvalidState",
    "InvalidStatus",
    "InvalidURI",
    "InvalidUpgrade",
    "NegotiationError",
    "PayloadTooBig",
    "ProtocolError",
    "ProxyError",
    "RequestLineTooLong",
    "SecurityError",
    "StatusLineTooLong",
    "TooManyFragments",
    "TooManyHeaders",
    "WebSocketException",
]

WebSocketException = EverwireError
InvalidHandshake = HandshakeFailed
ConcurrencyError = UsageError
InvalidState = UsageError
PayloadTooBig = LimitExceeded


class InvalidURI(UsageError):
    """A URL is none for WebSockets."""

    def __init__(self, uri: str, msg: str) -> None:
        super().__init__(f"{hidden_url(uri, is_sound=False)} isn't a valid URI: {msg}")
        self.uri = uri
        self.msg = msg


class SecurityError(InvalidHandshake):
    """A redirect that must not be followed."""


class RequestLineTooLong(SecurityError):
    """Never raised: the engine answers 414."""


class StatusLineTooLong(SecurityError):
    """Never raised: it is an :exc:`InvalidHandshake` whose text says so."""


class HeaderLineTooLong(SecurityError):
    """Never raised, likewise."""


class TooManyHeaders(SecurityError):
    """Never raised, likewise."""


class InvalidProxy(UsageError):
    """The URL of a proxy is none, or of a kind that is not offered; its text has no password."""

    def __init__(self, proxy: str, msg: str) -> None:
        super().__init__(f"{hidden_url(proxy, is_sound=False)} isn't a valid proxy: {msg}")
        self.proxy = proxy
        self.msg = msg


class ProxyError(InvalidHandshake):
    """A proxy did not let us through."""


class InvalidProxyMessage(ProxyError):
    """What an HTTP proxy sent is no HTTP response."""


class InvalidProxyStatus(ProxyError):
    """An HTTP proxy answered with a status that is not of success."""

    response: Response

    def __init__(self, response: Response) -> None:
        super().__init__(f"proxy rejected connection: HTTP {response.status_code:d}", response)


class InvalidMethod(InvalidHandshake):
    """Never raised: the engine answers 405."""

    def __init__(self, method: str) -> None:
        super().__init__(f"unsupported HTTP method: {method}")
        self.method = method


class InvalidProtocol(InvalidHandshake):
    """Never raised: the engine answers 505."""

    def __init__(self, protocol: str) -> None:
        super().__init__(f"unsupported HTTP version: {protocol}")
        self.protocol = protocol


class TooManyFragments(LimitExceeded):
    """Never raised: fragments are joined as they come, and bounded by their bytes."""

    def __init__(self, max_fragments: int) -> None:
        super().__init__(f"fragmented message exceeds limit of {max_fragments} frames")


class InvalidMessage(InvalidHandshake):
    """What the server sent is no HTTP response."""


class InvalidStatus(InvalidHandshake):
    """The server answered with another status than 101."""

    response: Response

    def __init__(self, response: Response) -> None:
        super().__init__(f"server rejected WebSocket connection: HTTP {response.status_code:d}", response)


class InvalidHeader(InvalidHandshake):
    """A field of the handshake has no good value."""

    def __init__(self, name: str, value: str | None = None) -> None:
        if value is None:
            text = f"missing {name} header"
        elif value == "":
            text = f"empty {name} header"
        else:
            text = f"invalid {name} header: {value}"
        super().__init__(text)
        self.name = name
        self.value = value


class InvalidHeaderFormat(InvalidHeader):
    """A field of the handshake breaks the grammar."""

    def __init__(self, name: str, error: str, header: str, pos: int) -> None:
        super().__init__(name, f"{error} at {pos} in {header}")


class InvalidHeaderValue(InvalidHeader):
    """A field of the handshake has a value that cannot be accepted."""


class InvalidOrigin(InvalidHeader):
    """The page that connects is not one of those that may."""

    def __init__(self, origin: str | None) -> None:
        super().__init__("Origin", origin)


class InvalidUpgrade(InvalidHeader):
    """``Upgrade`` or ``Connection`` is not right."""


class NegotiationError(InvalidHandshake):
    """No agreement about an extension or subprotocol; ``select_subprotocol`` may raise it to refuse with 400."""

    def __init__(self, text: str = "") -> None:
        super().__init__(text)


class DuplicateParameter(NegotiationError):
    """An extension's parameter is repeated."""

    def __init__(self, name: str) -> None:
        super().__init__(f"duplicate parameter: {name}")
        self.name = name


class InvalidParameterName(NegotiationError):
    """An extension has no such parameter."""

    def __init__(self, name: str) -> None:
        super().__init__(f"invalid parameter name: {name}")
        self.name = name


class InvalidParameterValue(NegotiationError):
    """An extension's parameter has no good value."""

    def __init__(self, name: str, value: str | None) -> None:
        if value is None:
            text = f"missing value for parameter {name}"
        elif value == "":
            text = f"empty value for parameter {name}"
        else:
            text = f"invalid value for parameter {name}: {value}"
        super().__init__(text)
        self.name = name
        self.value = value
