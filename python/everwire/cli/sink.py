"""Standard output, for programs: written without blocking the event loop, in order."""

from __future__ import annotations

import asyncio
import os
import select
import stat

__all__ = ["Sink"]

PIECE = select.PIPE_BUF
"""What a pipe takes without blocking once it is writable (POSIX: PIPE_BUF)."""


class Sink:
    """Writes to a descriptor; one task at a time.

    The descriptor stays blocking, as others may share it: it is written to only when it is ready.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)

    async def write(self, data: bytes) -> None:
        """Write all of it, at the reader's pace.

        Raises:
            OSError: it cannot be written: a full disk, or (:exc:`BrokenPipeError`) a reader that has gone.
        """
        rest = memoryview(data)
        while rest:
            if not self._poll.poll(0):
                await self._wait()
            rest = rest[os.write(self._descriptor, rest[:PIECE]) :]

    async def wait_for_hangup(self) -> None:
        """Wait until a pipe has no reader any more; without end for what is no pipe."""
        loop = asyncio.get_running_loop()
        gone = asyncio.Event()
        if not stat.S_ISFIFO(os.fstat(self._descriptor).st_mode):
            await gone.wait()
        # The writing end of a pipe is never readable: what it reports is that the other end was closed.
        loop.add_reader(self._descriptor, gone.set)
        try:
            await gone.wait()
        finally:
            loop.remove_reader(self._descriptor)

    async def _wait(self) -> None:
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        loop.add_writer(self._descriptor, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_writer(self._descriptor)
