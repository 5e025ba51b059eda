"""The command as users run it: a process of its own, with pipes or a terminal, against servers of this one."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import everwire

from .terminal import Terminal

PATIENCE = 20.0
"""Seconds within which a command that should end has ended."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of a command."""

    code: int
    out: bytes
    err: str

    @property
    def lines(self) -> list[str]:
        """Standard output by lines."""
        return self.out.decode().splitlines()


class Command:
    """Runs ``python -m everwire``."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment

    async def start(
        self, *arguments: str, stdin: int = asyncio.subprocess.PIPE, **more: Any
    ) -> asyncio.subprocess.Process:
        """Start it, with pipes."""
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "everwire", *arguments, stdin=stdin,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=self.environment, **more,
        )  # fmt: skip

    async def run(self, *arguments: str, stdin: bytes | None = None) -> Outcome:
        """Run it to its end; without ``stdin`` it has none."""
        process = await self.start(
            *arguments, stdin=asyncio.subprocess.DEVNULL if stdin is None else asyncio.subprocess.PIPE
        )
        return await finish(process, stdin)

    @contextlib.asynccontextmanager
    async def terminal(self, *arguments: str, **environment: str) -> AsyncIterator[Terminal]:
        """Run it on a terminal."""
        async with Terminal.run(arguments, self.environment | environment) as terminal:
            yield terminal


async def finish(process: asyncio.subprocess.Process, stdin: bytes | None = None) -> Outcome:
    """Wait until a command has ended."""
    try:
        async with asyncio.timeout(PATIENCE):
            # Without input, early versions of Python 3.11 leave the pipe open.
            out, err = await process.communicate(b"" if process.stdin is not None and stdin is None else stdin)
    except TimeoutError:
        process.kill()
        raise
    assert process.returncode is not None
    return Outcome(process.returncode, out, err.decode())


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """The command, at home in a folder of this test."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "PYTHONPATH", "VIRTUAL_ENV") if name in os.environ}
    state = tmp_path / "state"
    return Command({**kept, "HOME": str(tmp_path), "XDG_STATE_HOME": str(state), "TERM": "xterm-256color"})


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., Awaitable[str]]]:
    """Serves a handler until the test ends; returns where."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(handler: Any, **options: Any) -> str:
            server = await stack.enter_async_context(everwire.serve(handler, "127.0.0.1", 0, **options))
            return f"ws{'s' if 'ssl' in options else ''}://127.0.0.1:{server.sockets[0].getsockname()[1]}/"

        yield start


@pytest.fixture
async def echo(serve: Callable[..., Awaitable[str]]) -> str:
    """The address of a server that echoes."""

    async def handler(connection: everwire.ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    return await serve(handler)
