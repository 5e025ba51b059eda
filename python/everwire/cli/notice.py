"""What the command itself has to say: on standard error, so that output stays what was received."""

from __future__ import annotations

import contextlib
import sys

from .escaping import escaped

__all__ = ["notice", "plain"]


def notice(text: str) -> None:
    """Say something in a line, and who says it."""
    plain(f"everwire: {text}")


def plain(text: str) -> None:
    """Write a line as it is, but for what could control a terminal."""
    # If standard error has gone, there is nobody left to tell.
    with contextlib.suppress(OSError):
        if sys.stderr is not None:
            print(escaped(text), file=sys.stderr, flush=True)
