"""``websockets.client``: what ``connect()`` does when it connects again. The protocol class of that module is not offered."""

from __future__ import annotations

import random
from collections.abc import Iterator

from ...errors import HandshakeFailed

__all__ = ["backoff", "process_exception"]

_TRANSIENT = (500, 502, 503, 504)


def backoff(
    initial_delay: float = 5.0,
    min_delay: float = 3.1,
    max_delay: float = 90.0,
    factor: float = 1.618,
) -> Iterator[float]:
    """How many seconds to wait before each attempt, without end.

    Args:
        initial_delay: the first delay is between 0 and this.
        min_delay: the second one.
        max_delay: no delay is longer.
        factor: each delay is longer than that before it by this factor.
    """
    yield random.uniform(0, initial_delay)
    delay = min_delay
    while delay < max_delay:
        yield delay
        delay *= factor
    while True:
        yield max_delay


def process_exception(error: Exception) -> Exception | None:
    """Whether another attempt may succeed: ``None`` to make one, an exception to be raised if not.

    Errors of the network and of time are transient, as is a server that hangs up during the handshake, or answers 500, 502, 503
    or 504. Everything else is final, what a proxy answers included.
    """
    if isinstance(error, OSError):  # TimeoutError is one
        return None
    if isinstance(error, HandshakeFailed) and error.proxy is None:
        return None if error.status in _TRANSIENT or isinstance(error.__cause__, EOFError) else error
    return error
