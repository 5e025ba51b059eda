"""One message to many connections."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from ..engine import living_shard, shard_of
from ..errors import LimitExceeded, UsageError
from .connection import BytesLike, Connection

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
        ExceptionGroup: with ``raise_exceptions``: a :exc:`LimitExceeded` for each connection that does not read and missed the
            message, a :exc:`UsageError` for each that is sending another one in parts.
        TypeError: the message is neither text nor bytes-like.
    """
    receivers = connections if isinstance(connections, set | list | tuple | frozenset) else list(connections)
    first = next(iter(receivers), None)
    if first is None:
        if not isinstance(message, str | BytesLike):  # wrong without receivers too
            raise TypeError(f"data must be str or bytes, not {type(message).__name__}")
        return
    shard = living_shard(first._loop) or shard_of(first._loop)
    missed = cast(list[Connection], shard.broadcast(receivers, message, text))
    if missed and raise_exceptions:
        raise ExceptionGroup("skipped broadcast", [_reason(connection) for connection in missed])
    for connection in missed:
        if connection._is_mid_message:
            # Those that do not read may be a crowd: the metrics count them.
            connection.logger.warning("skipped broadcast: %s", _reason(connection))


def _reason(connection: Connection) -> Exception:
    if connection._is_mid_message:
        return UsageError("sending a fragmented message")
    return LimitExceeded(f"{connection!r} does not read: its output is at limits.output")
