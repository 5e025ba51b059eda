"""A program that makes the messages, as the events that it prints: the load generator, or a client that is measured."""

import json
import subprocess
import threading
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import IO, Self

import build
import process

LONGEST = 90.0
"""Seconds after which a run is given up: nothing that is measured here takes nearly as long."""

Event = dict[str, float | str]


class LoadFailed(Exception):
    """The program gave up: the text is what it said about the other side."""


class Generator:
    """The program on its own CPU, until the ``with`` block ends."""

    def __init__(self, command: Sequence[str], cpu: int, environment: Mapping[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=process.pin_to(cpu),
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
        raise self.failure()

    def check(self) -> None:
        """Return if the run goes on.

        Raises:
            LoadFailed: it has failed meanwhile.
        """
        if self.process.poll() is not None:
            raise self.failure()

    def failure(self) -> LoadFailed:
        """What to say about a run that is over too early."""
        said = pipe(self.process.stderr).read().strip().splitlines()
        if not said:
            return LoadFailed("the program was stopped, and said nothing")
        # The load generator says it first; what Python prints ends with it.
        line = said[0] if said[0].startswith("load: ") else said[-1]
        return LoadFailed(line.removeprefix("load: "))


def load(arguments: Sequence[str], port: int) -> Generator:
    """The load generator, working on the server at ``port``."""
    return Generator([str(build.LOAD), *arguments, "--port", str(port)], process.LOAD_CPU)


def pipe(stream: IO[str] | None) -> IO[str]:
    """A stream of a process that was given pipes."""
    if stream is None:
        raise LookupError("the process has no pipe")
    return stream
