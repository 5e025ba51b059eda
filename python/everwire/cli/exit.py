"""What the exit code says."""

from __future__ import annotations

import enum

__all__ = ["Exit"]


class Exit(enum.IntEnum):
    """Exit codes of ``everwire``; ``docs/reference/cli.md`` lists them for users."""

    ENDED = 0
    """The connection ended in order."""
    LOST = 1
    """It was lost or closed with an error, or fewer messages came than ``--count`` asked for."""
    USAGE = 2
    """The arguments, or what came on standard input, cannot be used."""
    UNREACHABLE = 3
    """No connection could be made: name, address, TLS, or time."""
    REFUSED = 4
    """Somebody answered, but not with a WebSocket handshake."""
    INTERRUPTED = 130
    """Ctrl-C; as shells count it, 128 and the number of the signal."""
