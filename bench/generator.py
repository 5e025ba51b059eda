"""One run of the load generator, as the events that it prints."""

import json
import subprocess
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import IO, Self

import build
import process

LONGEST = 90.0
"""Seconds after which a run is given up: nothing that is measured here takes nearly as long."""

Event = dict[str, float | str]


class LoadFailed(Exception):
    """The load generator gave up: the text is what it said about the server."""


class Generator:
    """The load generator on its own CPU, until the ``with`` block ends."""

    def __init__(self, arguments: Sequence[str], port: int) -> None:
        self.process = subprocess.Popen(
            [str(build.LOAD), *arguments, "--port", str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=process.pin_to(process.LOAD_CPU),
        )
        self.watchdog = threading.Timer(LONGEST, self.process.kill)
        self.watchdog.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.watchdog.cancel()
        self.process.kill()
        # Closes the pipes; `idle` would end by its standard input alone, but not at once.
        self.process.communicate()

    def wait_for(self, name: str) -> Event:
        """The next event of that name; the others are skipped.

        Raises:
            LoadFailed: there is none, because the run failed.
        """
        for line in pipe(self.process.stdout):
            event: Event = json.loads(line)
            if event["event"] == name:
                return event
        said = pipe(self.process.stderr).read().strip().splitlines()
        raise LoadFailed(said[0].removeprefix("load: ") if said else "the load generator was stopped")


def pipe(stream: IO[str] | None) -> IO[str]:
    """A stream of a process that was given pipes."""
    if stream is None:
        raise LookupError("the process has no pipe")
    return stream
