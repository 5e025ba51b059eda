"""Connecting again: after which ends of a connection, and after which failures to make one."""

from __future__ import annotations

import enum
import json
import re
import ssl
from collections.abc import Iterator

from ..close import Close
from ..errors import ConnectionClosed, EverwireError, HandshakeFailed
from .failures import alert_in

__all__ = [
    "CLOSE_VERDICTS",
    "FAMILY_VERDICTS",
    "LASTING_ALERTS",
    "Verdict",
    "note_worked_before",
    "process_exception",
    "verdict",
]


class Verdict(enum.Enum):
    """What a client does about a connection that it has lost, or could not make."""

    STOP = "stop"
    """Nothing: it would only be refused again, or all is said."""
    BACKOFF = "back-off"
    """Come back after a delay that grows."""
    NOW = "now"
    """Come back at once: the server only moves, or has no complaint about this client."""
    TOKEN = "token"
    """Come back at once with a new token; without one it would only be refused again."""
    SESSION = "session"
    """Come back after a delay, as a new session: the old one is not continued."""


CLOSE_VERDICTS: dict[int, Verdict] = {
    1000: Verdict.STOP,  # the purpose is fulfilled
    1001: Verdict.BACKOFF,
    1002: Verdict.STOP,  # the same messages would break the same rules
    1003: Verdict.STOP,
    1005: Verdict.BACKOFF,  # Node's and browsers' close() without arguments: nothing is said against coming back
    1006: Verdict.BACKOFF,
    1007: Verdict.STOP,
    1008: Verdict.STOP,  # but see verdict(): some servers mean that time ran out
    1009: Verdict.STOP,  # a message beyond the limit comes again, and again is beyond it
    1010: Verdict.STOP,
    1011: Verdict.BACKOFF,
    1012: Verdict.BACKOFF,
    1013: Verdict.BACKOFF,
    1014: Verdict.BACKOFF,
    1015: Verdict.BACKOFF,
    3000: Verdict.STOP,  # IANA's registry: unauthorized
    3003: Verdict.STOP,  # forbidden
}
"""The close codes of RFC 6455 §7.4 and IANA's registry; others of 3000 to 3999 are tried again."""

FAMILY_VERDICTS: dict[int, Verdict] = {
    40: Verdict.STOP,
    41: Verdict.BACKOFF,
    42: Verdict.NOW,
    43: Verdict.TOKEN,
    44: Verdict.SESSION,
}
"""Private close codes by their first two digits; others of 4000 to 4999 are tried again."""

LASTING_ALERTS = {
    # The peer does not take our certificate, or wants one.
    "access_denied",
    "bad_certificate",
    "certificate_expired",
    "certificate_required",
    "certificate_revoked",
    "certificate_unknown",
    "unknown_ca",
    "unsupported_certificate",
    # It speaks no TLS that we speak.
    "insufficient_security",
    "no_application_protocol",
    "protocol_version",
}
"""TLS alerts (RFC 8446 §6) that are about us, and would come again; what others complain of passes with a restart."""

_TRANSIENT = {408, 425, 429}
_PERMANENT = {501, 505}
"""Not implemented, and HTTP version not supported: of all statuses from 500 these do not change by waiting."""
_SOCKS_TRANSIENT = {1, 3, 4, 5, 6, 91}
"""What a SOCKS proxy says if it cannot reach the server (RFC 1928 §6; 91 is SOCKS 4's only word for failure)."""
_ABOUT_TIME = re.compile(
    r"time.?out|timed out|too (?:long|slow)|\bslow|\bidle|inactiv|\bping|\bpong|heart.?beat|keep.?alive", re.IGNORECASE
)
"""Words in the reason of a 1008 whose policy was one of time."""
_ABOUT_FILES = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)


def verdict(error: Exception) -> Verdict:
    """What to do about a connection that ended with this error, or was not made because of it.

    What can pass by itself is tried again: the network's errors, time that ran out, a server that hangs up in the handshake or ends
    TLS without a complaint about us. A refusal is judged by its HTTP status: 408, 425, 429 and from 500 on, but for 501 and 505,
    are tried again. The end of a connection is judged by the close code of whoever closed first; 1008 is tried again if its reason
    speaks of time, or if the connection lived for a minute. A proxy is judged as a server is, and by whether it reached the
    server.

    Once there was a connection (:attr:`~everwire.EverwireError.worked_before`), a certificate that is not trusted, and an answer
    that is a page, leads elsewhere, or is no HTTP, are somebody else's, a captive portal's for instance, and pass as well. Of a
    first attempt they are final, as everything else is: a file that is missing, a URL that is none, a refusal.

    An error of a function of yours is judged by what it is, or was raised from (``__cause__``, else ``__context__``); and by an
    HTTP status, as of the service that issues tokens, if it has one as the usual HTTP libraries' errors have.
    """
    worked_before = getattr(error, "worked_before", False)
    for link in _chain(error):
        judged = _of(link, worked_before)
        if judged is not None:
            return judged
    return Verdict.STOP


def process_exception(error: Exception) -> Exception | None:
    """Whether another attempt may succeed: ``None`` to make one, an exception to be raised if not.

    The default of the arguments of this name: whatever :func:`verdict` does not stop for is tried again. A function of your own
    can look at the cases that it knows better about, and leave the others to this one.
    """
    return error if verdict(error) is Verdict.STOP else None


def note_worked_before(error: Exception, worked_before: bool) -> None:
    """Write down what :func:`verdict` has to know besides the error, which may be of any kind."""
    error.worked_before = worked_before  # type: ignore[attr-defined]


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error, what it was raised from, and so on."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ if link.__suppress_context__ else link.__cause__ or link.__context__


def _of(error: BaseException, worked_before: bool) -> Verdict | None:
    """The verdict about one error, without those behind it; ``None`` if it is none that is known here."""
    match error:
        case ConnectionClosed():
            return _of_close(_decisive(error), worked_before)
        case HandshakeFailed():
            return _of_handshake(error, worked_before)
        case EverwireError():
            return Verdict.STOP
        case BaseExceptionGroup():
            judged = {verdict(inner) if isinstance(inner, Exception) else Verdict.STOP for inner in error.exceptions}
            return judged.pop() if len(judged) == 1 else Verdict.STOP
        case ssl.SSLError():
            return _of_tls(error, worked_before)
        case json.JSONDecodeError() if worked_before:
            return Verdict.BACKOFF  # a page, where a token should have been
    status = _status(error)
    if status is not None:
        return _of_status(status, worked_before)
    if isinstance(error, OSError):  # TimeoutError is one
        # A file's name is only in the errors of files: a Unix socket that is not there yet has none.
        return Verdict.STOP if error.filename is not None and isinstance(error, _ABOUT_FILES) else Verdict.BACKOFF
    return Verdict.BACKOFF if isinstance(error, EOFError) else None


def _of_handshake(error: HandshakeFailed, worked_before: bool) -> Verdict:
    cause = error.__cause__
    if isinstance(cause, EOFError):
        return Verdict.BACKOFF
    if isinstance(cause, ssl.SSLError):
        return _of_tls(cause, worked_before)
    if error.proxy is not None and getattr(cause, "error_code", None) in _SOCKS_TRANSIENT:
        return Verdict.BACKOFF
    if error.status is None or (error.redirect is not None and worked_before):
        return _if(worked_before)
    return _of_status(error.status, worked_before)


def _of_status(status: int, worked_before: bool) -> Verdict:
    if status in _TRANSIENT or (status >= 500 and status not in _PERMANENT):
        return Verdict.BACKOFF
    # A page, or a way elsewhere, is no refusal.
    return _if(worked_before and 200 <= status < 400)


def _of_tls(error: ssl.SSLError, worked_before: bool) -> Verdict:
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError | ssl.SSLSyscallError):
        return Verdict.BACKOFF
    alert = alert_in(error)
    return _if(worked_before or (alert is not None and alert not in LASTING_ALERTS))


def _if(is_passing: bool) -> Verdict:
    return Verdict.BACKOFF if is_passing else Verdict.STOP


def _status(error: BaseException) -> int | None:
    """The HTTP status in an error of another library: urllib's, requests', httpx's or aiohttp's."""
    for holder in (error, getattr(error, "response", None)):
        for name in ("status_code", "status", "code"):
            value = getattr(holder, name, None)
            if isinstance(value, int) and 100 <= value <= 599:
                return value
    return None


def _decisive(error: ConnectionClosed) -> Close:
    """What whoever closed first said: the other side only repeats it."""
    if error.sent is not None and (error.rcvd is None or not error.rcvd_then_sent):
        return error.sent
    return error.rcvd or Close(1006)


def _of_close(close: Close, worked_before: bool) -> Verdict:
    if close.code == 1008:
        return _if(worked_before or _ABOUT_TIME.search(close.reason) is not None)
    named = CLOSE_VERDICTS.get(close.code)
    if named is not None:
        return named
    return FAMILY_VERDICTS.get(close.code // 100, Verdict.BACKOFF)
