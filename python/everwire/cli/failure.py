"""Why there is no connection, and what can be done about it."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

from ..errors import HandshakeFailed, UsageError
from ..http import Response, hidden_text, hidden_url
from .escaping import escaped, shortened
from .exit import Exit
from .opening import Opening

__all__ = ["Failure"]

BODY_LINES = 10
"""How many lines of a refusal's body are shown: a text fits, a page does not."""
LINE = 200
"""How many characters of each."""

_HINTS = {
    400: "the server did not understand the request; --verbose shows it",
    401: "it wants to know who you are: try --token, or --header 'Authorization: …'",
    403: "it does not let you in: try --token, or --origin with the address of its own pages",
    404: "is the path right?",
    405: "is the path right? Nothing there takes WebSockets",
    426: "it wants another protocol than WebSocket, or another version of it",
    429: "too many attempts: wait a while",
    502: "the proxy in front of the server cannot reach it",
    503: "the server is overloaded or down: try again later",
    504: "the server behind the proxy does not answer",
}


class Failure:
    """An attempt that failed.

    Attributes:
        exit: the exit code for it.
        text: what to tell the user, in a line.
        body: lines of what the server said to it; nothing in any of it can control a terminal.
    """

    def __init__(self, error: Exception, opening: Opening) -> None:
        self._opening = opening
        self._where = hidden_url(opening.endpoint.uri)
        self.exit, self.text = self._explain(error)
        response = error.response if isinstance(error, HandshakeFailed) else None
        self.body = [] if response is None else list(_body(response))

    def _explain(self, error: Exception) -> tuple[Exit, str]:
        match error:
            case HandshakeFailed():
                return self._refused(error)
            case UsageError() | ValueError():
                return Exit.USAGE, escaped(str(error))
            case socket.gaierror():
                host, _, what = self._end()
                text = f"there is no host {host}{what and ', the proxy'}: is the name right, is the network up?"
            case ConnectionRefusedError():
                host, port, what = self._end()
                text = f"nothing listens on {host} port {port}: is the {what or 'server'} running?"
            case TimeoutError():
                text = f"no connection within {self._opening.timeout:g} s: is the address right? --timeout waits longer"
            case _:
                text = escaped(error.strerror or str(error) if isinstance(error, OSError) else str(error))
        return Exit.UNREACHABLE, f"cannot connect to {self._where}: {text}"

    def _end(self) -> tuple[str, int, str]:
        """What was to be reached from here, and ``"proxy"`` if that is one."""
        proxy = self._opening.way
        end = proxy or self._opening.endpoint.url
        return escaped(end.host), end.port, "proxy" if proxy else ""

    def _refused(self, error: HandshakeFailed) -> tuple[Exit, str]:
        text = escaped(shortened(str(error), 2 * LINE))
        if isinstance(error.__cause__, ssl.SSLError):
            return Exit.UNREACHABLE, f"cannot connect to {self._where}: {self._tls(error, text)}"
        if error.proxy is not None:
            return Exit.UNREACHABLE, f"cannot connect to {self._where}: {text}"
        if error.response is None or error.response.status_code == 101:
            return Exit.REFUSED, f"{self._where} did not take a WebSocket: {text}{self._plain_hint()}"
        return Exit.REFUSED, self._status(error.response)

    def _status(self, response: Response) -> str:
        status = response.status_code
        text = f"{self._where} refused: {status} {escaped(shortened(response.reason_phrase, LINE))}".rstrip()
        location = next(iter(response.headers.get_all("Location")), None)
        retry = next(iter(response.headers.get_all("Retry-After")), None)
        if 300 <= status < 400 and location is not None:
            return f"{text}; it points to {escaped(shortened(hidden_url(location), LINE))}, which cannot be followed"
        if status in (429, 503) and retry is not None:
            return f"{text}; try again after {escaped(shortened(retry, LINE))}{' s' if retry.isdigit() else ''}"
        if 200 <= status < 300:
            return f"{text}; that is an ordinary page: is the path right?"
        return f"{text}; {_HINTS[status]}" if status in _HINTS else text

    def _tls(self, error: HandshakeFailed, text: str) -> str:
        if error.proxy is not None:
            return text
        if "does not speak TLS" in text:
            return f"no TLS is spoken there; without, it is {self._where.replace('wss://', 'ws://', 1)}"
        if isinstance(error.__cause__, ssl.SSLCertVerificationError) and not self._opening.insecure:
            return f"{text}; --cacert FILE trusts it, --insecure trusts anybody"
        if error.alert == "certificate_required":
            return f"{text}; --cert FILE shows one"
        return text

    def _plain_hint(self) -> str:
        if self._opening.endpoint.url.secure:
            return ""
        return f"; if it speaks TLS, it is {self._where.replace('ws://', 'wss://', 1)}"


def _body(response: Response) -> Iterator[str]:
    text = response.body.decode("utf-8", "replace").strip()
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    for line in lines[:BODY_LINES]:
        yield escaped(shortened(hidden_text(line), LINE))
    if len(lines) > BODY_LINES:
        yield f"… {len(lines) - BODY_LINES} more lines"
