"""Why there is no connection: one exception for each event, whoever did the TLS, the engine or an :class:`ssl.SSLContext`."""

from __future__ import annotations

import re
import ssl
import traceback

from .. import _core
from ..errors import HandshakeFailed, ProtocolError, system_error
from ..http import hidden_text, parse_response

__all__ = ["alert_in", "in_a_line", "opening_failure", "tls_failure"]

# "the server ended TLS with the alert InternalError: …", as the engine says it.
_ALERT = re.compile(r"\bwith the alert (\w+)")
# "[SSL: TLSV1_ALERT_INTERNAL_ERROR] tlsv1 alert internal error (_ssl.c:1020)", as OpenSSL does; of some alerts without "alert".
_OPENSSL_ALERT = re.compile(r"\b(?:sslv3|tlsv1|tlsv13) (?:alert )?([a-z0-9 ]+?)(?: \(|$)")
_NOT_TLS = re.compile(
    r"does not speak TLS|wrong version number|unknown protocol|http request|record layer failure|packet length too long"
)


def opening_failure(told: _core.Failure, tls_error: Exception | None) -> Exception:
    """What the engine tells of an opening handshake, as the exception for it.

    Args:
        told: what the engine tells.
        tls_error: what :mod:`ssl` raised, if it does the TLS.
    """
    response = None if told.head is None else parse_response(told.head, told.body)
    cause = told.cause
    match cause.kind:
        case "refused":
            return HandshakeFailed(f"the server answered {cause.number} instead of 101", response)
        case "io":
            return system_error(cause.number, cause.text)
        case "timeout":
            return TimeoutError(cause.text)
        case "eof":
            hung_up = HandshakeFailed("the server hung up during the opening handshake", response)
            hung_up.__cause__ = EOFError(cause.text)
            return hung_up
        case "tls" if isinstance(tls_error, OSError):
            return tls_failure(tls_error)
        case "tls":
            is_trust = cause.text.startswith("the server's certificate")
            return tls_failure((ssl.SSLCertVerificationError if is_trust else ssl.SSLError)(1, cause.text))
    error = HandshakeFailed(cause.text, response)
    if cause.kind == "protocol":
        error.__cause__ = ProtocolError(cause.text)
    return error


def tls_failure(error: OSError, whom: str = "the server", proxy: str | None = None) -> Exception:
    """What went wrong in TLS: a :exc:`HandshakeFailed` with that as its cause, and with the peer's alert, if there was one.

    An error of the system stays what it is.
    """
    # asyncio says in this way, without a number of the system, that the peer hung up.
    has_ended = isinstance(error, ConnectionResetError) and error.errno is None
    if proxy is None and (has_ended or isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError)):
        failed = HandshakeFailed(f"{whom} hung up during the opening handshake")
        failed.__cause__ = EOFError(str(error))
        return failed
    if not isinstance(error, ssl.SSLError):
        return error
    text, alert = str(error), alert_in(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = getattr(error, "verify_message", "")
        text = f"{whom}'s certificate is refused: {reason}" if reason else text
    elif text.startswith("[SSL"):
        if alert is not None:
            text = f"{whom} ended TLS with the alert {alert}"
        elif _NOT_TLS.search(text):
            text = f"{whom} does not speak TLS ({text})"
        else:
            text = f"TLS with {whom} failed: {text}"
    failed = HandshakeFailed(text, proxy=proxy)
    failed.alert = alert
    failed.__cause__ = error
    return failed


def alert_in(error: ssl.SSLError) -> str | None:
    """The name (RFC 8446 §6) of the alert with which the peer ended TLS, such as ``"internal_error"``; ``None`` if it did not."""
    text = str(error)
    if said := _ALERT.search(text):
        name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", said[1]).lower()
        return name.replace("recognised", "recognized")
    said = _OPENSSL_ALERT.search(text)
    return None if said is None else said[1].replace(" ", "_")


def in_a_line(error: Exception) -> str:
    """An error for the log: its kind and its text, which may be somebody else's, without the secrets in it."""
    return hidden_text(traceback.format_exception_only(error)[0].strip())
