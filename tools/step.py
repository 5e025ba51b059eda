"""Commands: one that cannot run, or does not end, says in one line what is wrong."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import BinaryIO

ROOT = Path(__file__).resolve().parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
MERCY = 20.0
"""Seconds for a command that was interrupted to say what it knows."""

_output: ContextVar[BinaryIO | None] = ContextVar("output", default=None)
_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


class StepFailed(Exception):
    """A command did not succeed; its own output says more."""


class Missing(Exception):
    """Something that the machine should have is not there; the text says in one line how to get it."""


@contextlib.contextmanager
def bounded(seconds: float, output: BinaryIO | None = None) -> Iterator[None]:
    """Give the commands of this thread so much time, all together, and their output to a file if there is one."""
    deadline, file = _deadline.set(time.monotonic() + seconds), _output.set(output)
    try:
        yield
    finally:
        _deadline.reset(deadline)
        _output.reset(file)


def say(text: str) -> None:
    """Tell what is going on, between the outputs of commands."""
    output = _output.get()
    if output is None:
        print(f"\n=== {text}", file=sys.stderr, flush=True)
    else:
        output.write(f"--- {text}\n".encode())
        output.flush()


def run(
    *command: str | Path, folder: Path = ROOT, environment: Mapping[str, str] | None = None, quiet: bool = False
) -> None:
    """Run one command, with no input.

    Args:
        command: the program and its arguments.
        folder: where to run it.
        environment: variables beside one's own.
        quiet: show its output only if it fails.

    Raises:
        Missing: there is no such program.
        StepFailed: it ended with another status than 0, or was ended because its time was over.
    """
    if shutil.which(command[0]) is None:
        raise Missing(f"{command[0]} is missing")
    with tempfile.TemporaryFile() if quiet else contextlib.nullcontext(_output.get()) as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=os.environ | (environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT if output else None,
            # What it starts ends with it; Ctrl-C has to be passed on to it.
            process_group=0,
        )
        problem = _wait(process)
        if problem and quiet and output:
            output.seek(0)
            shutil.copyfileobj(output, _output.get() or sys.stderr.buffer)
    if problem:
        raise StepFailed(f"{Path(command[0]).name} {' '.join(map(str, command[1:4]))} {problem}")


_running: set[subprocess.Popen[bytes]] = set()


def _wait(process: subprocess.Popen[bytes]) -> str | None:
    """Wait for the end of a command; what was wrong with it."""
    deadline = _deadline.get()
    _running.add(process)
    try:
        status = process.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        _end(process)
        return "took too long, and was ended"
    except BaseException:
        _end(process)
        raise
    finally:
        _running.discard(process)
    return f"ended with {status}" if status else None


def end_all() -> None:
    """End the commands of every thread."""
    for process in list(_running):
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(MERCY)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def main(steps: Callable[[], int | None]) -> None:
    """Run a script's steps and exit, with one line in place of a traceback if something is missing or fails."""
    # Whoever is told to end ends its commands, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        sys.exit(steps())
    except (Missing, StepFailed) as problem:
        sys.exit(f"\n{problem}")
    except KeyboardInterrupt:
        sys.exit(130)
