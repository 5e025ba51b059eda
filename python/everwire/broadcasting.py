"""One message to many connections."""

from __future__ import annotations

from collections.abc import Iterable

from .connection import BytesLike, Connection
from .errors import LimitExceeded
from .shards import shard_of

__all__ = ["broadcast"]


def broadcast(
    connections: Iterable[Connection],
    message: str | BytesLike,
    raise_exceptions: bool = False,
    *,
    text: bool | None = None,
) -> None:
    """Send one message to many connections: encoded and compressed once, written without the GIL when they are many.

    Never waits. A connection that is not open is passed over. One whose queued output is at ``limits.output`` misses the message,
    or is closed with 1013, as the server's ``overflow`` says.

    Args:
        connections: of one event loop.
        message: text if ``str``, binary if bytes-like.
        raise_exceptions: whether connections that missed the message are reported.
        text: send bytes as text (``True``), or text as binary (``False``).

    Raises:
        ExceptionGroup: with ``raise_exceptions``: a :exc:`LimitExceeded` for each connection that missed the message.
        TypeError: the message is neither text nor bytes-like.
    """
    receivers = connections if isinstance(connections, set | list | tuple | frozenset) else list(connections)
    first = next(iter(receivers), None)
    if first is None:
        return
    _, missed = shard_of(first._loop).broadcast(receivers, message, text)
    if missed and raise_exceptions:
        errors = [LimitExceeded(f"{connection!r} does not read, or is sending a message in parts") for connection in missed]
        raise ExceptionGroup("connections missed the message", errors)
