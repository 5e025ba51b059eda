"""Commands, one after another: each is announced, and one that cannot run says what to do about it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))


class StepFailed(Exception):
    """A command did not succeed; its own output says more."""


class Missing(Exception):
    """Something that the machine should have is not there; the text says in one line how to get it."""


def say(text: str) -> None:
    """Tell what is going on, between the outputs of commands."""
    print(f"\n=== {text}", file=sys.stderr, flush=True)


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
        StepFailed: it ended with another status than 0.
    """
    if shutil.which(command[0]) is None:
        raise Missing(f"{command[0]} is missing")
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | (environment or {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if quiet else None,
        stderr=subprocess.STDOUT if quiet else None,
        check=False,
    )
    if done.returncode:
        if quiet:
            sys.stderr.buffer.write(done.stdout)
        raise StepFailed(f"{Path(command[0]).name} {' '.join(map(str, command[1:4]))} ended with {done.returncode}")


class Tally:
    """Steps that do not depend on each other: all are run, then a table says what became of them."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, float, str]] = []
        self._failed = False

    def run(self, title: str, step: Callable[[], None]) -> None:
        """Run one step, whatever became of those before."""
        say(title)
        began = time.monotonic()
        result = "passed"
        try:
            step()
        except Missing as missing:
            result = f"not run: {missing}"
        except StepFailed as failed:
            result = f"FAILED: {failed}"
            self._failed = True
        self._rows.append((title, time.monotonic() - began, result))
        if result != "passed":
            print(result, file=sys.stderr, flush=True)

    def finish(self) -> int:
        """Print the table; return the exit status."""
        say("what became of it")
        width = max(len(title) for title, _, _ in self._rows)
        for title, seconds, result in self._rows:
            print(f"{title:{width}}  {seconds:5.0f} s  {result}", file=sys.stderr)
        return int(self._failed)


def main(steps: Callable[[], int | None]) -> None:
    """Run a script's steps and exit, with one line in place of a traceback if something is missing or fails."""
    try:
        sys.exit(steps())
    except (Missing, StepFailed) as problem:
        sys.exit(f"\n{problem}")
    except KeyboardInterrupt:
        sys.exit(130)
