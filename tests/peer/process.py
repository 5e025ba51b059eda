"""Programs in a process of their own, for what must not happen in the tests' own."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import Any

from .timing import MS

__all__ = ["run"]


def run(program: str, *arguments: str, within: float = 30_000 * MS, **options: Any) -> list[str]:
    """Run a program to its good end; the lines that it printed. Warnings are errors in it.

    Raises:
        AssertionError: it failed, or said something else than what it printed.
        TimeoutExpired: it took too long, and was killed.
    """
    command = [sys.executable, "-X", "faulthandler", "-W", "error", "-c", textwrap.dedent(program), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=within, check=False, **options)
    assert (done.returncode, done.stderr) == (0, ""), f"{done.stdout}\n{done.stderr}"
    return done.stdout.splitlines()
