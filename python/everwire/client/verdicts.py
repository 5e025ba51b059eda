"""Connecting again: after which ends of a connection, and after which failures to make one."""

from __future__ import annotations

import enum
import ssl

from ..errors import ConnectionClosed, HandshakeFailed

__all__ = ["CLOSE_VERDICTS", "FAMILY_VERDICTS", "Verdict", "process_exception", "verdict"]


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
    1008: Verdict.STOP,
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

_TRANSIENT = {408, 425, 429}
_PERMANENT = {501, 505}
"""Not implemented, and HTTP version not supported: of all statuses from 500 these do not change by waiting."""
_SOCKS_TRANSIENT = {1, 3, 4, 5, 6, 91}
"""What a SOCKS proxy says if it cannot reach the server (RFC 1928 §6; 91 is SOCKS 4's only word for failure)."""


def verdict(error: Exception) -> Verdict:
    """What to do about a connection that ended with this error, or was not made because of it.

    The network's errors, time that ran out, and a server that hangs up in the handshake are tried again; a certificate that is not
    trusted is not. A refusal is judged by its HTTP status: 408, 425, 429 and from 500 on, but for 501 and 505, are tried again. The
    end of a connection is judged by the close code of whoever closed first. A proxy is judged as a server is, and by whether it
    reached the server. Everything else is final.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return Verdict.STOP
    if isinstance(error, OSError):  # TimeoutError is one
        return Verdict.BACKOFF
    if isinstance(error, ConnectionClosed):
        return _of_code(_decisive(error))
    if isinstance(error, HandshakeFailed):
        if isinstance(error.__cause__, EOFError):
            return Verdict.BACKOFF
        status = error.status
        if status is not None and (status in _TRANSIENT or (status >= 500 and status not in _PERMANENT)):
            return Verdict.BACKOFF
        if error.proxy is not None and getattr(error.__cause__, "error_code", None) in _SOCKS_TRANSIENT:
            return Verdict.BACKOFF
    return Verdict.STOP


def process_exception(error: Exception) -> Exception | None:
    """Whether another attempt may succeed: ``None`` to make one, an exception to be raised if not.

    The default of the arguments of this name: whatever :func:`verdict` does not stop for is tried again. A function of your own
    can look at the cases that it knows better about, and leave the others to this one.
    """
    return error if verdict(error) is Verdict.STOP else None


def _decisive(error: ConnectionClosed) -> int:
    """The code of whoever closed first: the other side only repeats it."""
    if error.sent is not None and (error.rcvd is None or not error.rcvd_then_sent):
        return error.sent.code
    return error.code


def _of_code(code: int) -> Verdict:
    named = CLOSE_VERDICTS.get(code)
    if named is not None:
        return named
    return FAMILY_VERDICTS.get(code // 100, Verdict.BACKOFF)
