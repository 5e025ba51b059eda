"""The servers that are compared, and one of them running."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Self

import build
import process
from contender import Contender
from scenario import REFERENCE, Kind, Scenario, Side

START = 20.0
"""Seconds that a server may take until it accepts connections."""


class Runtime(Enum):
    """What a server is written for."""

    NATIVE = "native"
    PYTHON = "python"
    NODE = "node"


@dataclass(frozen=True)
class Server(Contender):
    """One server.

    Attributes:
        runtime: decides how it is started and which scenarios it can take part in.
        has_timer: whether it can measure its event loop.
    """

    runtime: Runtime = Runtime.PYTHON
    has_timer: bool = True

    side = Side.SERVER

    @property
    def is_node(self) -> bool:
        """Whether Node has to be there for it."""
        return self.runtime is Runtime.NODE

    def takes_part(self, scenario: Scenario) -> bool:
        """Whether the scenario can be measured with it."""
        if scenario.kind is Kind.TIMER and not self.has_timer:
            return False
        suits = self.runtime is Runtime.PYTHON or not scenario.is_python_only
        return suits and super().takes_part(scenario)

    def command(self, port: int, *, tls: bool) -> list[str]:
        """The command line that starts it."""
        if self.runtime is Runtime.NATIVE:
            return [str(build.LIMIT), str(port), *([str(build.CERTIFICATE), str(build.KEY)] if tls else [])]
        interpreter = str(build.PYTHON) if self.runtime is Runtime.PYTHON else "node"
        return [interpreter, str(build.BENCH / "peers" / self.program), str(port), *self.arguments]


LIMIT = Server(REFERENCE, runtime=Runtime.NATIVE)
"""The reference, and what clients are measured with."""

SERVERS = (
    LIMIT,
    Server("everwire", "everwire_server.py", ("callback",), "everwire"),
    Server("everwire-async", "everwire_server.py", ("async",), "everwire"),
    Server("picows", "picows_server.py", package="picows"),
    Server("aiohttp", "aiohttp_server.py", package="aiohttp"),
    Server("websockets", "websockets_server.py", package="websockets"),
    Server("uvicorn", "uvicorn_server.py", package="uvicorn"),
    Server("granian", "granian_server.py", package="granian", has_timer=False),
    Server("ws", "ws_server.cjs", package="ws", runtime=Runtime.NODE),
)


class ServerFailed(Exception):
    """A server did not start, or ended before it was told to."""


class Running:
    """A fresh process of a server, on a CPU of its own, until the ``with`` block ends."""

    def __init__(
        self,
        server: Server,
        *,
        tls: bool = False,
        busy: bool = False,
        timer: Path | None = None,
        cpu: int = process.MEASURED_CPU,
    ) -> None:
        self.port = free_port()
        environment = {**os.environ, "NODE_PATH": str(build.NODE_MODULES), "PYTHONPATH": ""}
        if tls:
            environment |= {"BENCH_CERTIFICATE": str(build.CERTIFICATE), "BENCH_KEY": str(build.KEY)}
        if busy:
            environment["BENCH_BUSY"] = "1"
        if timer:
            environment["BENCH_TIMER"] = str(timer)
        self.server = server
        self.log = build.BUILD / f"{server.name}.log"
        self.process = self.start(server.command(self.port, tls=tls), environment, cpu)

    def start(self, command: list[str], environment: Mapping[str, str], cpu: int) -> subprocess.Popen[bytes]:
        with open(self.log, "wb") as log:
            return subprocess.Popen(
                command,
                cwd=build.BENCH / "peers",
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=process.pin_to(cpu),
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        try:
            self.wait_until_listening()
        except BaseException:
            self.stop()
            raise
        self.pids = process.tree(self.process.pid)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def wait_until_listening(self) -> None:
        """Return once connections are accepted.

        Raises:
            ServerFailed: it ended, or does not accept connections within ``START`` seconds.
        """
        end = time.monotonic() + START
        while self.process.poll() is None and time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.02)
            else:
                time.sleep(0.2)  # what follows the first listening socket: other workers, late imports
                return
        raise ServerFailed(f"{self.server.name} did not start: {self.last_words()}")

    def check(self) -> None:
        """Return if every process of it still runs.

        Raises:
            ServerFailed: one has ended meanwhile; what it has used is not known.
        """
        if self.process.poll() is not None or not all(map(process.is_running, self.pids)):
            raise ServerFailed(f"{self.server.name} or a process of it ended: {self.last_words()}")

    def signal_timer(self) -> None:
        """Have the timer report, and begin anew."""
        os.kill(self.process.pid, signal.SIGUSR1)

    def last_words(self) -> str:
        """The last line of the server's output."""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"exit status {self.process.poll()}, no output"

    def stop(self) -> None:
        """End the process and its children at once."""
        for pid in process.tree(self.process.pid):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait()


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
