"""The two heads of the opening handshake, for people to read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..client import ClientConnection
from ..connection import tls_session
from ..http import Headers, Response, hidden_choice, hidden_field, hidden_url
from .escaping import escaped

__all__ = ["heads"]


def heads(connection: ClientConnection, response: Response | None, offered: Sequence[str]) -> Iterator[str]:
    """The request and the response, line by line; what should stay secret in them is masked.

    Args:
        connection: that the handshake was for.
        response: what the server answered, if it did.
        offered: the subprotocols.
    """
    tls = tls_session(connection) if connection.state else None
    if tls is not None:
        yield f"* {tls.version}, {tls.cipher}"
    request = connection.request
    if request is not None:
        yield f"> GET {escaped(hidden_url(request.path))} HTTP/1.1"
        yield from _fields(">", request.headers, ())
    if response is not None:
        yield f"< HTTP/1.1 {response.status_code} {escaped(response.reason_phrase)}"
        yield from _fields("<", response.headers, offered)


def _fields(mark: str, headers: Headers, offered: Sequence[str]) -> Iterator[str]:
    for name, value in headers.raw_items():
        is_choice = offered and name.lower() == "sec-websocket-protocol"
        shown = hidden_choice(value, offered) if is_choice else hidden_field(name, value)
        yield f"{mark} {escaped(name)}: {escaped(shown)}"
