"""Programs in other languages: commands go in, events come out, a line each; payloads are in base64."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import shutil
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

__all__ = ["HERE", "NODE", "Remote", "decode", "need", "need_node", "remote"]

HERE = Path(__file__).parent
NODE = HERE / "node"
_LINE = 16 * 2**20


def need(program: str, advice: str) -> str:
    """Where a program is; the test fails with a word of advice if it is nowhere."""
    found = shutil.which(program)
    if found is None:
        pytest.fail(f"{program} is missing: {advice} (make test does it where it may)", pytrace=False)
    return found


def need_node() -> str:
    """Where Node is, which has to have the package ``ws``."""
    node = need("node", "apt-get install -y nodejs npm")
    if not (HERE.parent / "node_modules" / "ws").exists():
        pytest.fail("Node's package ws is missing: run npm ci in tests/ (make test does it)", pytrace=False)
    return node


class Remote:
    """A program that is running."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def say(self, *words: str | int | bytes) -> None:
        """Give a command; bytes go in base64."""
        assert self._process.stdin is not None
        self._process.stdin.write(b" ".join(_encode(word) for word in words) + b"\n")
        await self._process.stdin.drain()

    async def hear(self) -> list[str]:
        """The words of the next event.

        Raises:
            EOFError: the program has ended.
        """
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise EOFError(f"the program ended with {await self._process.wait()}")
        return line.decode().rstrip("\r\n").split(" ")


def decode(word: str) -> bytes:
    """The bytes of an event's word."""
    return base64.b64decode(word)


@contextlib.asynccontextmanager
async def remote(*command: str | Path) -> AsyncIterator[Remote]:
    """Run a program; it ends with the block."""
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, limit=_LINE, cwd=HERE)
    try:
        yield Remote(process)
    finally:
        assert process.stdin is not None
        # All of them end with their standard input.
        process.stdin.close()
        await process.wait()


def _encode(word: str | int | bytes) -> bytes:
    return base64.b64encode(word) if isinstance(word, bytes) else str(word).encode()
