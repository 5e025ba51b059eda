"""The two heads of the opening handshake, for people to read."""

from __future__ import annotations

from collections.abc import Iterator

from ..client import ClientConnection
from ..connection import tls_session
from ..http import Headers, Response
from .escaping import escaped
from .secret import hidden_field, hidden_url

__all__ = ["heads"]


def heads(connection: ClientConnection, response: Response | None) -> Iterator[str]:
    """The request and the response, line by line; what should stay secret in them is masked.

    Args:
        connection: that the handshake was for.
        response: what the server answered, if it did.
    """
    tls = tls_session(connection) if connection.state else None
    if tls is not None:
        yield f"* {tls.version}, {tls.cipher}"
    request = connection.request
    if request is not None:
        yield f"> GET {escaped(hidden_url(request.path))} HTTP/1.1"
        yield from _fields(">", request.headers)
    if response is not None:
        yield f"< HTTP/1.1 {response.status_code} {escaped(response.reason_phrase)}"
        yield from _fields("<", response.headers)


def _fields(mark: str, headers: Headers) -> Iterator[str]:
    for name, value in headers.raw_items():
        yield f"{mark} {escaped(name)}: {escaped(hidden_field(name, value))}"
