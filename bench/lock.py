"""One run at a time: two would measure each other."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PATH = Path(tempfile.gettempdir()) / "everwire-bench.lock"
"""Shared by all checkouts, since they share the CPUs."""


class Locked(Exception):
    """Another run goes on."""


@contextmanager
def exclusive() -> Iterator[None]:
    """Hold the lock; the kernel releases it even if this process is killed.

    Raises:
        Locked: another process holds it.
    """
    with open(PATH, "a+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise Locked(f"another run goes on: process {file.read().strip()}") from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
