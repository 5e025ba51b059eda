"""How long a client waits before it connects again: random, longer after each failure, never shorter than the server asks for."""

from __future__ import annotations

import datetime
import email.utils
import random
from collections.abc import Callable, Iterator

from ..errors import HandshakeFailed

__all__ = ["HEALTHY", "RETRY_AFTER", "Pace", "backoff", "retry_after"]

HEALTHY = 60.0
"""Seconds after which a connection counts as healthy: the next failure is a first one again. Not at once: a server that accepts
everybody and then drops them is as much in trouble as one that refuses."""

RETRY_AFTER = 300.0
"""The most seconds that a server's ``Retry-After`` is obeyed for: one wrong header must not park a client for a day."""

_ASKS_TO_WAIT = (429, 503)


def backoff(
    first: float = 0.5,
    longest: float = 20.0,
    factor: float = 2.0,
    draw: Callable[[float, float], float] = random.uniform,
) -> Iterator[float]:
    """How many seconds to wait before each attempt, without end: random(0, min(longest, first * factor ** n)).

    Every delay is drawn anew from its whole range ("full jitter"), so that the clients of a server that was restarted spread out
    and stay spread out (RFC 6455 §7.2.3).

    Args:
        first: the first delay is at most this.
        longest: no delay is longer; 20 s is how long people wait before they reload.
        factor: by how much the range grows each time.
        draw: makes a random number between two.
    """
    ceiling = min(first, longest)
    while True:
        yield draw(0.0, ceiling)
        ceiling = min(longest, ceiling * factor)


def retry_after(error: Exception | None, now: float) -> float:
    """How many seconds a server wants a client to wait, by ``Retry-After`` in its refusal with 429 or 503 (RFC 9110 §10.2.3).

    Seconds and dates are understood; of several the longest counts, and none counts for more than :data:`RETRY_AFTER`. 0 if the
    server asks for nothing that can be understood.

    Args:
        error: why there is no connection.
        now: the time, as ``time.time()`` gives it.
    """
    if not isinstance(error, HandshakeFailed) or error.response is None or error.status not in _ASKS_TO_WAIT:
        return 0.0
    asked = [_seconds(value.strip(), now) for value in error.response.headers.get_all("Retry-After")]
    return min(max(asked, default=0.0), RETRY_AFTER)


def _seconds(value: str, now: float) -> float:
    if value.isascii() and value.isdigit():
        return RETRY_AFTER if len(value) > 9 else float(value)
    try:
        date = email.utils.parsedate_to_datetime(value)
        if date.tzinfo is None:  # asctime's form, which is in UTC as well (RFC 9110 §5.6.7)
            date = date.replace(tzinfo=datetime.UTC)
        return max(0.0, date.timestamp() - now)
    except (ValueError, OverflowError, IndexError):
        return 0.0


class Pace:
    """The delays of one client: from the start again after each healthy connection. It has no clock of its own.

    Args:
        delays: makes the seconds to wait before each attempt; where they end, so does patience.
        healthy: seconds after which a connection counts as healthy.
    """

    def __init__(self, delays: Callable[[], Iterator[float]] = backoff, healthy: float = HEALTHY) -> None:
        self._make_delays = delays
        self._healthy = healthy
        self._delays: Iterator[float] | None = None
        self._opened: float | None = None

    def opened(self, now: float) -> None:
        """Note that there is a connection."""
        self._opened = now

    def reset(self) -> None:
        """Forget what failed so far."""
        self._delays = self._opened = None

    def is_healthy(self, now: float) -> bool:
        """Whether there was a connection, which lived long enough to count as healthy."""
        return self._opened is not None and now - self._opened >= self._healthy

    def delay(self, now: float, *, at_least: float = 0.0, at_once: bool = False) -> float | None:
        """How many seconds to wait now that a connection was lost, or not made; ``None`` if the delays are used up.

        Args:
            now: the time, by the clock of :meth:`opened`.
            at_least: what the server asked for; the delay comes on top, since it asked others for the same.
            at_once: need not wait. Only the first time: who is always sent away at once has to slow down as well.
        """
        if self.is_healthy(now):
            self._delays = None
        self._opened = None
        if self._delays is None:
            self._delays = self._make_delays()
            if at_once:
                return at_least
        delay = next(self._delays, None)
        return None if delay is None else at_least + delay
