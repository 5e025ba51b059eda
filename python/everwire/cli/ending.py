"""How a connection ended, for people and for the exit code."""

from __future__ import annotations

import asyncio

from ..close import Close, explanation
from ..connection import Connection
from ..errors import ConnectionClosed, ConnectionClosedOK, LimitExceeded
from .escaping import escaped
from .exit import Exit

__all__ = ["Ending", "close"]


class Ending:
    """The end of a connection.

    Attributes:
        exit: the exit code for it.
        close: the close frame that it began with; ``None`` if it was lost without one.
        is_ours: whether that was ours.
        text: all of it in a line.
    """

    def __init__(self, closed: ConnectionClosed, wanted: int = 1000) -> None:
        """Read an end.

        Args:
            closed: how it was.
            wanted: the code that we closed with if we did so as planned, and not for a fault of the other side.
        """
        is_wanted = closed.sent is not None and closed.sent.code == wanted
        self.is_ours = closed.sent is not None and not closed.rcvd_then_sent
        self.close: Close | None = closed.sent if self.is_ours else closed.rcvd
        is_orderly = isinstance(closed, ConnectionClosedOK) or (is_wanted and self.is_ours and closed.clean)
        self.exit = Exit.ENDED if is_orderly else Exit.LOST
        self.text = self._text(closed, is_wanted)

    def _text(self, closed: ConnectionClosed, is_wanted: bool) -> str:
        cause = "" if closed.__cause__ is None else escaped(str(closed.__cause__))
        if self.close is None:
            known = not cause or isinstance(closed.__cause__, EOFError)
            return explanation(1006) if known else f"Lost: {cause}."
        if self.is_ours and not is_wanted:
            detail = f": {cause}" if cause and cause not in escaped(self.close.reason) else ""
            hint = "; --max-size takes more" if isinstance(closed.__cause__, LimitExceeded) else ""
            return f"Closed by us: {escaped(str(self.close))}{detail}{hint}."
        if self.is_ours:
            answer = "" if closed.rcvd is not None else " The other side did not answer."
            return f"Closed: {escaped(str(self.close))}.{answer}"
        who = "" if self.exit is Exit.ENDED else " by the other side"
        return f"Closed{who}: {escaped(str(self.close))}. {explanation(self.close.code)}"


async def close(connection: Connection, code: int = 1000, reason: str = "") -> ConnectionClosed:
    """Close a connection, and return how that went; messages that still come are dropped.

    Without taking them an unread message could hold up the close frame behind it.

    Raises:
        UsageError: the code or the reason cannot be sent; the connection stays open.
    """
    closing = asyncio.ensure_future(connection.close(code, reason))
    try:
        # Begins at once; what cannot be sent fails at once.
        await asyncio.sleep(0)
        if closing.done():
            await closing
        return await ended(connection)
    finally:
        closing.cancel()


async def ended(connection: Connection) -> ConnectionClosed:
    """Take what still comes, and return how the connection ended."""
    while True:
        try:
            await connection.recv()
        except ConnectionClosed as closed:
            return closed
