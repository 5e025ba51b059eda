"""How pytest is run: tests side by side in several processes."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from step import run

CPUS = os.cpu_count() or 1
MOST = 16
"""Each process collects all tests before it runs some: at some point more of them take longer."""


def pytest(
    *arguments: str,
    python: str | Path = sys.executable,
    workers: int = 2 * CPUS,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run tests.

    Args:
        arguments: what pytest is told beside.
        python: whose pytest.
        workers: how many processes; two for each CPU by default, because tests wait more than they compute.
        environment: variables beside one's own.

    Raises:
        StepFailed: some failed.
    """
    # Where everything hangs, a few minutes tell as much as an hour.
    options = [f"--numprocesses={min(workers, MOST)}", "--dist=worksteal", "--maxfail=20"]
    run(python, "-m", "pytest", *options, *arguments, environment=environment)
