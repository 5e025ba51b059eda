"""The two heads of the opening handshake, as Python sees them."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import http
import urllib.parse

from .cookies import parse_cookies
from .headers import Headers
from .secrets import hidden_url

__all__ = ["Request", "Response"]

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Request:
    """A client's request.

    Attributes:
        path: the request target with its query, as it came.
        headers: the fields.
        method: ``"GET"`` if it can become a WebSocket (RFC 6455 §4.1); ``process_request`` sees others, too.
        protocol: ``"HTTP/1.1"``, likewise.
    """

    __slots__ = ("_head", "_headers", "method", "path", "protocol")

    def __init__(self, path: str, headers: Headers, method: str = "GET", protocol: str = "HTTP/1.1") -> None:
        self.path = path
        self.method = method
        self.protocol = protocol
        self._headers: Headers | None = headers
        self._head = b""

    @classmethod
    def parse(cls, head: bytes) -> Request:
        """Read a request head that the engine found to be sound; its fields when they are asked for."""
        request = cls.__new__(cls)
        request.method, request.path, request.protocol = head.partition(b"\r\n")[0].decode("latin-1").split(" ", 2)
        request._headers = None
        request._head = head
        return request

    @property
    def headers(self) -> Headers:
        """The fields, read when they are first asked for."""
        if self._headers is None:
            self._headers = _split(self._head)[1]
            self._head = b""
        return self._headers

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Request):
            return NotImplemented
        return (self.path, self.headers) == (other.path, other.headers)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Request(path={hidden_url(self.path)!r}, headers={self.headers!r})"

    @property
    def query(self) -> dict[str, str]:
        """The parameters behind the ``?``; of repeated ones the last. What is encoded badly is kept as it can be read."""
        return dict(urllib.parse.parse_qsl(self.path.partition("?")[2], keep_blank_values=True))

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies; of repeated ones the last. What is no cookie is passed over."""
        return parse_cookies(self.headers.get_all("Cookie"))


@dataclasses.dataclass
class Response:
    """A server's response.

    Attributes:
        status_code: such as 101.
        reason_phrase: such as ``"Switching Protocols"``.
        headers: the fields.
        body: what came of the body, without the chunked coding; empty for 101.
    """

    status_code: int
    reason_phrase: str
    headers: Headers
    body: bytes = b""


def accept_key(key: str) -> str:
    """What a server answers to a client's key (RFC 6455 §4.2.2)."""
    return base64.b64encode(hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()).decode()


def plain_response(status: int, text: str) -> Response:
    """A response with a text for people."""
    body = text.encode()
    headers = Headers(
        [("Connection", "close"), ("Content-Length", str(len(body))), ("Content-Type", "text/plain; charset=utf-8")]
    )
    return Response(status, http.HTTPStatus(status).phrase, headers, body)


def parse_response(head: bytes, body: bytes) -> Response:
    """Read a response head that the engine found to be sound."""
    start, headers = _split(head)
    _, status, *reason = start.split(" ", 2)
    return Response(int(status), reason[0] if reason else "", headers, body)


def _split(head: bytes) -> tuple[str, Headers]:
    try:
        text = head.decode()
    except UnicodeDecodeError:
        # One field that is in another encoding does not change what the others say.
        text = "\r\n".join(_decoded(line) for line in head.split(b"\r\n"))
    start, *lines = text.rstrip("\r\n").split("\r\n")
    headers = Headers()
    for line in lines:
        name, _, value = line.partition(":")
        headers[name] = value.strip(" \t")
    return start, headers


def _decoded(line: bytes) -> str:
    # Field values are octets; latin-1 maps each to a character and back (RFC 9110 §5.5). UTF-8 is what people mean, if it fits.
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("latin-1")
