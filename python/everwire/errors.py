"""Everything that this package raises, by what the caller does about it."""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING

from .close import Close

if TYPE_CHECKING:
    from .connection import Connection
    from .http import Response

__all__ = [
    "ConnectionClosed",
    "ConnectionClosedError",
    "ConnectionClosedOK",
    "EverwireError",
    "HandshakeFailed",
    "LimitExceeded",
    "ProtocolError",
    "UsageError",
]


class EverwireError(Exception):
    """The root of them all.

    Attributes:
        worked_before: what a client that comes back knows when it judges an error: before a handshake that failed, whether it had
            a connection at all; of a connection that was closed, whether it lived for a minute.
    """

    worked_before = False


class UsageError(EverwireError, RuntimeError):
    """The program did something that cannot work; the text says what to do instead."""


class LimitExceeded(EverwireError):
    """Something is larger, or more, than a limit allows; the text names the limit."""


class ProtocolError(EverwireError):
    """The peer broke the protocol: the cause of a :exc:`ConnectionClosedError`, or of a failed handshake."""


class HandshakeFailed(EverwireError):
    """The opening handshake did not succeed.

    Attributes:
        response: what the server answered instead of 101; ``None`` if it did not answer, or not in HTTP.
        proxy: if it was a proxy that failed, or refused with that response: its URL, without user and password.
        redirect: if it was another origin, to which a redirect led: that URL, without secrets.
        alert: the alert with which the peer ended TLS (RFC 8446 §6), such as ``"internal_error"``; ``None`` if it did not.
    """

    def __init__(self, text: str, response: Response | None = None, *, proxy: str | None = None) -> None:
        super().__init__(text)
        self.response = response
        self.proxy = proxy
        self.redirect: str | None = None
        self.alert: str | None = None

    @property
    def status(self) -> int | None:
        """The HTTP status that the server answered, if it did."""
        return None if self.response is None else self.response.status_code


class ConnectionClosed(EverwireError):
    """The connection is closed; there is nothing more to receive, and nothing can be sent.

    Attributes:
        rcvd: the peer's close frame, if one came.
        sent: ours, if one was sent.
        rcvd_then_sent: with both, whether the peer's came first.
    """

    # Whose end it is, which a program with several connections must not take for another's; without keeping that one.
    _connection: weakref.ref[Connection] | None = None

    def __init__(self, rcvd: Close | None, sent: Close | None, rcvd_then_sent: bool | None = None) -> None:
        super().__init__(rcvd, sent, rcvd_then_sent)
        self.rcvd = rcvd
        self.sent = sent
        self.rcvd_then_sent = rcvd_then_sent

    @property
    def code(self) -> int:
        """The close code of the connection (RFC 6455 §7.1.5): the peer's, 1005 if it gave none, 1006 if it sent no close frame."""
        return 1006 if self.rcvd is None else self.rcvd.code

    @property
    def reason(self) -> str:
        """The peer's reason; empty if it gave none."""
        return "" if self.rcvd is None else self.rcvd.reason

    @property
    def clean(self) -> bool:
        """Whether both sides said goodbye (RFC 6455 §7.1.4)."""
        return self.rcvd is not None and self.sent is not None

    def __str__(self) -> str:
        if self.rcvd is None and self.sent is None:
            text = "no close frame received or sent"
        elif self.rcvd is None:
            text = f"sent {self.sent}; no close frame received"
        elif self.sent is None:
            text = f"received {self.rcvd}; no close frame sent"
        elif self.rcvd_then_sent:
            text = f"received {self.rcvd}; then sent {self.sent}"
        else:
            text = f"sent {self.sent}; then received {self.rcvd}"
        return text if self.__cause__ is None else f"{text}: {self.__cause__}"

    def __reduce__(self) -> tuple[type[ConnectionClosed], tuple[Close | None, Close | None, bool | None]]:
        return type(self), (self.rcvd, self.sent, self.rcvd_then_sent)


class ConnectionClosedOK(ConnectionClosed):
    """Closed as planned: with 1000 (normal), 1001 (going away) or no code, on both sides."""


class ConnectionClosedError(ConnectionClosed):
    """Closed otherwise: with an error code, or without a closing handshake. ``__cause__`` says why, as far as is known."""


def system_error(number: int, text: str) -> OSError:
    """What the system said, as the subclass of :exc:`OSError` that its number has."""
    return OSError(number, os.strerror(number)) if number else OSError(text)
