"""How a connection ended, from the engine's words to an exception."""

from __future__ import annotations

from .. import _core
from ..close import Close
from ..errors import (
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    LimitExceeded,
    ProtocolError,
    UsageError,
    system_error,
)

__all__ = ["exception_of", "is_planned"]

_PLANNED = (1000, 1001, None)


def exception_of(ending: _core.Ending) -> ConnectionClosed:
    """A fresh exception that tells of this ending."""
    rcvd, sent = _close(ending.received), _close(ending.sent)
    both = rcvd is not None and sent is not None
    kind = ConnectionClosedOK if is_planned(ending) else ConnectionClosedError
    exception = kind(rcvd, sent, ending.received_first if both else None)
    if ending.cause is not None and kind is ConnectionClosedError:
        exception.__cause__ = _cause(ending.cause)
    return exception


def is_planned(ending: _core.Ending) -> bool:
    """Whether both sides said goodbye, with 1000, 1001 or no code."""
    received, sent = ending.received, ending.sent
    return received is not None and sent is not None and received[0] in _PLANNED and sent[0] in _PLANNED


def _close(said: tuple[int | None, str] | None) -> Close | None:
    return None if said is None else Close(1005 if said[0] is None else said[0], said[1])


def _cause(cause: _core.Cause) -> Exception:
    kind, text = cause.kind, cause.text
    match kind:
        case "eof":
            return EOFError(text)
        case "io":
            return system_error(cause.number, text)
        case "timeout":
            return TimeoutError(text)
        case "limit":
            return LimitExceeded(text)
        case "protocol" | "tls":
            return ProtocolError(text)
        case _:
            return UsageError(text) if kind == "aborted" else RuntimeError(text)
