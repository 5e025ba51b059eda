"""The two heads of the opening handshake, as Python sees them."""

from __future__ import annotations

import dataclasses
import http
import http.cookies
import urllib.parse

from .headers import Headers

__all__ = ["Request", "Response"]


@dataclasses.dataclass
class Request:
    """A client's request.

    Attributes:
        path: the request target with its query, as it came.
        headers: the fields.
    """

    path: str
    headers: Headers

    @property
    def query(self) -> dict[str, str]:
        """The parameters behind the ``?``; of repeated ones the last."""
        return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query, keep_blank_values=True))

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies; a malformed ``Cookie`` field counts as none."""
        jar = http.cookies.SimpleCookie()
        for value in self.headers.get_all("Cookie"):
            try:
                jar.load(value)
            except http.cookies.CookieError:
                continue
        return {name: morsel.value for name, morsel in jar.items()}


@dataclasses.dataclass
class Response:
    """A server's response.

    Attributes:
        status_code: such as 101.
        reason_phrase: such as ``"Switching Protocols"``.
        headers: the fields.
        body: what came of the body; empty for 101.
    """

    status_code: int
    reason_phrase: str
    headers: Headers
    body: bytes = b""


def plain_response(status: int, text: str) -> Response:
    """A response with a text for people."""
    body = text.encode()
    headers = Headers(
        [("Connection", "close"), ("Content-Length", str(len(body))), ("Content-Type", "text/plain; charset=utf-8")]
    )
    return Response(status, http.HTTPStatus(status).phrase, headers, body)


def parse_request(head: bytes) -> Request:
    """Read a request head that the engine found to be sound."""
    start, headers = _split(head)
    return Request(start.split(" ")[1], headers)


def parse_response(head: bytes, body: bytes) -> Response:
    """Read a response head that the engine found to be sound."""
    start, headers = _split(head)
    _, status, *reason = start.split(" ", 2)
    return Response(int(status), reason[0] if reason else "", headers, body)


def _split(head: bytes) -> tuple[str, Headers]:
    # Field values are octets; latin-1 maps each to a character and back (RFC 9110 §5.5). UTF-8 is what people mean, if it fits.
    try:
        text = head.decode()
    except UnicodeDecodeError:
        text = head.decode("latin-1")
    start, *lines = text.rstrip("\r\n").split("\r\n")
    headers = Headers()
    for line in lines:
        name, _, value = line.partition(":")
        headers[name] = value.strip(" \t")
    return start, headers
