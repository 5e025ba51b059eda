"""A connection without a prompt: what comes in is sent, what is received goes out."""

from __future__ import annotations

import asyncio
import dataclasses

from ..connection import Connection
from ..errors import ConnectionClosed, LimitExceeded, UsageError
from .ending import Ending, close, ended
from .exit import Exit
from .input import Input
from .notice import notice
from .output import Output

__all__ = ["Pipe"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pipe:
    """Sends and receives at once, each as fast as the other side takes it, until there is an end.

    Attributes:
        input: what is sent.
        output: where messages go.
        count: received messages after which it closes; ``None`` for any number.
        wait: seconds for answers after everything was sent; ``None`` until the other side closes.
        is_verbose: whether an orderly end is told, too.
    """

    input: Input
    output: Output
    count: int | None = None
    wait: float | None = None
    is_verbose: bool = False

    async def run(self, connection: Connection) -> Exit:
        """Carry messages both ways; closes the connection whatever happens.

        Raises:
            asyncio.CancelledError: it was cancelled; the connection is closed all the same.
        """
        received = _Progress()
        receiving = asyncio.ensure_future(self._receive(connection, received))
        sending = asyncio.ensure_future(self._send(connection))
        hangup = asyncio.ensure_future(self.output.wait_for_hangup())
        tasks = (receiving, sending, hangup)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if not receiving.done() and sending.done() and isinstance(sending.exception(), ConnectionClosed):
                # What came before the end is still to be written.
                await asyncio.wait((receiving, hangup), return_when=asyncio.FIRST_COMPLETED)
            # Nobody gets half a message.
            writing = asyncio.ensure_future(received.writing.acquire())
            await asyncio.wait((writing, hangup), return_when=asyncio.FIRST_COMPLETED)
            writing.cancel()
        finally:
            problems = await _stop(tasks)
            closed = await close(connection) if connection.close_code is None else await ended(connection)
        return await self._conclude(closed, problems, received)

    async def _receive(self, connection: Connection, received: _Progress) -> None:
        async for message in connection:
            async with received.writing:
                await self.output.received(message)
            received.number += 1
            if received.number == self.count:
                return

    async def _send(self, connection: Connection) -> None:
        await self.input.send(connection, self.output.sent)
        if self.wait is None:
            await asyncio.get_running_loop().create_future()
        else:
            await asyncio.sleep(self.wait)

    async def _conclude(self, closed: ConnectionClosed, problems: list[Exception], received: _Progress) -> Exit:
        ending = Ending(closed)
        for problem in problems:
            match problem:
                case BrokenPipeError():
                    return Exit.ENDED
                case UsageError() | LimitExceeded():
                    notice(str(problem))
                    return Exit.USAGE
                case OSError():
                    notice(f"cannot go on: {problem}")
                    return Exit.LOST
                case ConnectionClosed():
                    continue
                case _:
                    raise problem
        try:
            await self.output.ended(ending)
        except BrokenPipeError:
            return Exit.ENDED
        if ending.exit is not Exit.ENDED or self.is_verbose:
            notice(ending.text)
        if ending.exit is Exit.ENDED and self.count is not None and received.number < self.count:
            notice(f"{received.number} of {self.count} messages came")
            return Exit.LOST
        return ending.exit


class _Progress:
    """What was received so far, and whether a message is being written."""

    def __init__(self) -> None:
        self.number = 0
        self.writing = asyncio.Lock()


async def _stop(tasks: tuple[asyncio.Future[None], ...]) -> list[Exception]:
    """End them all, and return what those raised that failed."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    return [error for task in tasks if not task.cancelled() and isinstance(error := task.exception(), Exception)]
