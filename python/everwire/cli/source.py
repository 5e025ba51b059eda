"""Standard input: bytes as they come, without a thread and without blocking the event loop."""

from __future__ import annotations

import asyncio
import os
import select
from collections.abc import AsyncIterator

from ..errors import UsageError
from ..limits import Limits

__all__ = ["Source"]

CHUNK = 64 * 1024


class Source:
    """What comes from a descriptor. It is read only as fast as it is asked for, so a slow taker slows the writer down.

    The descriptor stays blocking, as others may share it: it is read only when something is there.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    async def chunks(self) -> AsyncIterator[bytes]:
        """Bytes in pieces of at most 64 KiB, as they come, until the end."""
        while True:
            await self._wait()
            chunk = os.read(self._descriptor, CHUNK)
            if not chunk:
                return
            yield chunk

    async def lines(self) -> AsyncIterator[bytes]:
        """Lines without their newlines; what stands behind the last newline is one, too.

        Raises:
            UsageError: a line is longer than any message could be.
        """
        rest: list[bytes] = []
        held = 0
        async for chunk in self.chunks():
            first, *others = chunk.split(b"\n")
            rest.append(first)
            held += len(first)
            if held > Limits.output:
                raise UsageError(f"a line of more than {Limits.output:,} bytes: a message cannot be that long")
            if others:
                yield b"".join(rest)
                for line in others[:-1]:
                    yield line
                rest, held = [others[-1]], len(others[-1])
        if held:
            yield b"".join(rest)

    async def _wait(self) -> None:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        if poll.poll(0):
            # A file is always ready: let others have their turn.
            await asyncio.sleep(0)
            return
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        loop.add_reader(self._descriptor, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_reader(self._descriptor)
