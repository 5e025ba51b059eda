"""Close codes and reasons that programs may give, and how an end is told (WebSockets §3.1, §8)."""

from __future__ import annotations

import dataclasses

from ..errors import ConnectionClosed, EverwireError, UsageError
from .message import scalar

__all__ = ["CloseInfo", "WebSocketError", "checked"]

REASON = 123
"""Bytes of the longest reason: what a control frame has room for beside the code (RFC 6455 §5.5)."""


@dataclasses.dataclass(frozen=True)
class CloseInfo:
    """How a connection was closed by both sides.

    Attributes:
        close_code: the peer's code; 1005 if it gave none.
        reason: the peer's reason.
    """

    close_code: int
    reason: str = ""

    @property
    def closeCode(self) -> int:
        """:attr:`close_code`, as JavaScript spells it."""
        return self.close_code


class WebSocketError(EverwireError):
    """A :class:`WebSocketStream` ended otherwise than by a clean close, or is to be ended with a code and a reason.

    Give one to ``cancel()`` or ``abort()`` of a stream to choose what the peer is told.

    Attributes:
        close_code: the code, 1006 if no close frame came; ``None`` if there is none to tell.
        reason: the reason.
    """

    def __init__(self, message: str = "", *, close_code: int | None = None, reason: str = "") -> None:
        """Make one.

        Args:
            message: what went wrong, for people.
            close_code: 1000, or 3000 to 4999; 1000 if only a reason is given.
            reason: at most 123 bytes in UTF-8.

        Raises:
            UsageError: a code that programs must not send, or a reason that is too long.
        """
        super().__init__(message)
        self.close_code, self.reason = checked(close_code, reason)

    @classmethod
    def _of(cls, closed: ConnectionClosed) -> WebSocketError:
        """What an end was; its code may be any."""
        error = cls(str(closed))
        error.close_code, error.reason = closed.code, closed.reason
        error.__cause__ = closed
        return error

    @property
    def closeCode(self) -> int | None:
        """:attr:`close_code`, as JavaScript spells it."""
        return self.close_code


def checked(code: int | None, reason: str) -> tuple[int | None, str]:
    """Code and reason for a close frame (WebSockets §3.1, "validate close code and reason"); a reason alone goes with 1000.

    Raises:
        TypeError: they are no number, no text.
        UsageError: they must not be sent.
    """
    if not isinstance(reason, str):
        raise TypeError(f"a close reason is a str, not {type(reason).__name__}")
    if code is None:
        code = 1000 if reason else None
    elif not isinstance(code, int) or isinstance(code, bool):
        raise TypeError(f"a close code is an int, not {type(code).__name__}; a reason goes second, or as reason=")
    elif code != 1000 and not 3000 <= code <= 4999:
        raise UsageError(f"close code {code} is not for programs: use 1000, or 3000 to 4999")
    reason = scalar(reason)
    length = len(reason.encode())
    if length > REASON:
        raise UsageError(f"a close reason has at most {REASON} bytes in UTF-8, not {length}: shorten it")
    return code, reason
