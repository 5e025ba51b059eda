"""A command on a pseudo-terminal, and what a person would see and type there."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pty
import re
import struct
import sys
import termios
from collections.abc import AsyncIterator, Sequence
from typing import Any

from peer.timing import MS

__all__ = ["Terminal"]

PATIENCE = 10.0
"""Seconds within which something appears, or the command ends."""

CONTROL = re.compile(rb"\x1b(\[[0-?]*[ -/]*[@-~]|[=>])")
"""What a terminal obeys and does not show."""


class Terminal:
    """Reads what the command writes, and types."""

    def __init__(self, master: int, process: asyncio.subprocess.Process) -> None:
        self._master = master
        self._process = process
        self._changed = asyncio.Event()
        self.raw = b""
        """All that was written, as it was."""

    @classmethod
    @contextlib.asynccontextmanager
    async def run(cls, arguments: Sequence[str], environment: dict[str, str]) -> AsyncIterator[Terminal]:
        """Start a command; it is killed if it is left running."""
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        # Nobody here answers where the cursor is.
        environment = environment | {"PROMPT_TOOLKIT_NO_CPR": "1"}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "everwire", *arguments,
            stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip
        os.close(slave)
        terminal = cls(master, process)
        asyncio.get_running_loop().add_reader(master, terminal._read)
        try:
            yield terminal
        finally:
            asyncio.get_running_loop().remove_reader(master)
            os.close(master)
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    @property
    def text(self) -> str:
        """What was written, without colors and movements of the cursor."""
        return CONTROL.sub(b"", self.raw).decode(errors="replace").replace("\r", "")

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._master, text.encode())

    async def see(self, text: str, since: int = 0) -> int:
        """Wait until it appears; returns where behind it the text goes on.

        Raises:
            AssertionError: it does not.
        """
        try:
            async with asyncio.timeout(PATIENCE):
                while (at := self.text.find(text, since)) < 0:
                    await self.change()
        except TimeoutError:
            raise AssertionError(f"{text!r} never appeared in {self.text[since:]!r}") from None
        return at + len(text)

    async def quiet(self, seconds: float = 300 * MS) -> None:
        """Wait until nothing was written for a while."""
        while True:
            try:
                async with asyncio.timeout(seconds):
                    await self.change()
            except TimeoutError:
                return

    async def change(self) -> None:
        """Wait until something is written."""
        self._changed.clear()
        await self._changed.wait()

    async def ready(self) -> int:
        """Wait until it can be typed."""
        return await self.see("> ")

    def vanish(self) -> None:
        """Close the window; nothing can be seen or typed any more."""
        asyncio.get_running_loop().remove_reader(self._master)
        os.close(self._master)
        self._master = os.open(os.devnull, os.O_RDWR)

    async def code(self) -> int:
        """Wait for the end; returns the exit code."""
        async with asyncio.timeout(PATIENCE):
            return await self._process.wait()

    @property
    def modes(self) -> list[Any]:
        """The modes of the terminal, such as whether it echoes."""
        return termios.tcgetattr(self._master)

    @property
    def pid(self) -> int:
        """The command's process."""
        return self._process.pid

    def _read(self) -> None:
        try:
            self.raw += os.read(self._master, 65536)
        except OSError:  # the command has ended, and nobody holds the other side
            asyncio.get_running_loop().remove_reader(self._master)
        self._changed.set()
