"""One figure: a fresh server or client, one scenario, and what it cost."""

import json
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import build
import generator
import process
from client import Client
from contender import Contender
from generator import Event, LoadFailed
from scenario import Kind, Scenario
from server import LIMIT, Running, Server, ServerFailed

DISTURBED = 0.1
"""The share of either CPU that other work may take before a figure is measured again."""

SETTLE = 1.0
"""Seconds between the last handshake and the reading of memory."""

FIRST_CONNECTIONS = 10
"""Connections that are there when memory is read first, so that what is made once for all is not counted."""


@dataclass(frozen=True)
class Pace:
    """How long and how often to measure.

    Attributes:
        seconds: length of the measured window.
        warmup: seconds before it.
        idle_connections: the most connections that are opened to measure memory.
        tries: how often a figure that other work disturbed is measured at most.
    """

    seconds: float = 2.0
    warmup: float = 0.5
    idle_connections: int = 5000
    tries: int = 3

    @property
    def arguments(self) -> tuple[str, ...]:
        """How long, as the load generator and the clients are told."""
        return ("--seconds", str(self.seconds), "--warmup", str(self.warmup))


@dataclass(frozen=True)
class Figure:
    """What came out for one server or client in one scenario in one round.

    Attributes:
        value: by the scenario's kind, a rate, bytes or milliseconds; ``None`` when it failed.
        cpu: microseconds of its CPU time for each unit of work.
        user_cpu: the part of it that is user code.
        p50, p99: latency in microseconds.
        load_share: the share of its CPU that the other side used: the load generator, or the server of a client.
        disturbed: the share that other work took of either CPU, whichever is larger.
        error: why there is no value.
    """

    contender: str
    scenario: str
    round: int
    value: float | None = None
    cpu: float | None = None
    user_cpu: float | None = None
    p50: float | None = None
    p99: float | None = None
    load_share: float | None = None
    disturbed: float = 0.0
    error: str = ""


def measure(contender: Contender, scenario: Scenario, round_number: int, pace: Pace) -> Figure:
    """One figure; of several tries, the least disturbed. A failure is never tried again: it would hide what fails at times."""
    tries: list[Figure] = []
    while len(tries) < pace.tries:
        figure = attempt(contender, scenario, round_number, pace)
        if figure.error or figure.disturbed < DISTURBED:
            return figure
        tries.append(figure)
    return min(tries, key=lambda figure: figure.disturbed)


def attempt(contender: Contender, scenario: Scenario, round_number: int, pace: Pace) -> Figure:
    """One figure, which may be about a failure."""
    how = {Kind.RATE: measure_rate, Kind.TIMER: measure_timer, Kind.MEMORY: measure_memory}
    try:
        match contender:
            case Client():
                return measure_client(contender, scenario, round_number, pace)
            case Server():
                return how[scenario.kind](contender, scenario, round_number, pace)
            case _:
                raise TypeError(f"{contender.name} is neither a server nor a client")
    except (LoadFailed, ServerFailed, OSError) as error:  # OSError: the server's entry in /proc is gone
        return Figure(contender.name, scenario.name, round_number, error=str(error) or repr(error))


def measure_rate(server: Server, scenario: Scenario, round_number: int, pace: Pace) -> Figure:
    """Work per second, and the CPU time of it.

    Raises:
        LoadFailed, ServerFailed: there is no figure.
    """
    with Running(server, tls=scenario.tls, busy=scenario.busy) as running:
        return observe(running, scenario, round_number, pace)


def measure_timer(server: Server, scenario: Scenario, round_number: int, pace: Pace) -> Figure:
    """p99 of the timer's lateness in milliseconds, within the measured window.

    Raises:
        LoadFailed, ServerFailed: there is no figure.
    """
    reports = build.BUILD / "timer.jsonl"
    reports.unlink(missing_ok=True)
    with Running(server, tls=scenario.tls, timer=reports) as running:
        figure = observe(running, scenario, round_number, pace, at_edges=running.signal_timer)
        # The first report is about the warm-up.
        lateness = json.loads(line_of(reports, 1))["p99"]
    value = None if lateness is None else lateness * 1e3
    return replace(figure, value=value, error=figure.error or ("the timer never ran" if value is None else ""))


def measure_memory(server: Server, scenario: Scenario, round_number: int, pace: Pace) -> Figure:
    """Bytes of private memory for each idle connection.

    Raises:
        LoadFailed, ServerFailed: there is no figure.
    """
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 200
    connections = min(scenario.connections, pace.idle_connections, most)
    with Running(server, tls=scenario.tls) as running:
        before = idle_memory(running, scenario, FIRST_CONNECTIONS)
        memory = idle_memory(running, scenario, FIRST_CONNECTIONS + connections) - before
    return Figure(server.name, scenario.name, round_number, value=memory / connections)


def idle_memory(running: Running, scenario: Scenario, connections: int) -> int:
    """The server's private memory in bytes, while the load generator holds that many connections."""
    with generator.load([*scenario.load, "--connections", str(connections)], running.port) as load:
        load.wait_for("open")
        time.sleep(SETTLE)
        memory = process.private_memory(running.pids)
        # It ends by itself when a connection is lost.
        load.check()
        running.check()
        return memory


def observe(
    running: Running,
    scenario: Scenario,
    round_number: int,
    pace: Pace,
    at_edges: Callable[[], None] = lambda: None,
) -> Figure:
    """Run the load and read the server's CPU time at both ends of the measured window; ``at_edges`` is called there."""
    with generator.load([*scenario.load, *pace.arguments], running.port) as load:
        load.wait_for("measuring")
        cpu_before, busy_before = process.cpu_time(running.pids), both_cpus()
        at_edges()
        load.wait_for("measured")
        cpu = process.cpu_time(running.pids) - cpu_before
        busy = both_cpus() - busy_before
        at_edges()
        # It waits for what is in flight: what never comes is a failure.
        done = load.wait_for("done")
        running.check()
    return figure_of(running.server, scenario, round_number, done, cpu, float(done["load_share"]), busy)


def measure_client(client: Client, scenario: Scenario, round_number: int, pace: Pace) -> Figure:
    """Messages per second, and the CPU time of them, which the client reads itself.

    Raises:
        LoadFailed, ServerFailed: there is no figure.
    """
    with (
        Running(LIMIT, cpu=process.LOAD_CPU) as running,
        client.start([*scenario.load, *pace.arguments], running.port) as program,
    ):
        program.wait_for("measuring")
        limit_before, busy_before = process.cpu_time(running.pids), both_cpus()
        program.wait_for("measured")
        limit = process.cpu_time(running.pids) - limit_before
        busy = both_cpus() - busy_before
        done = program.wait_for("done")
        running.check()
    cpu = process.CPUTime(float(done["user_cpu"]), float(done["system_cpu"]))
    return figure_of(client, scenario, round_number, done, cpu, limit.total / float(done["seconds"]), busy)


def figure_of(
    contender: Contender,
    scenario: Scenario,
    round_number: int,
    done: Event,
    cpu: process.CPUTime,
    load_share: float,
    busy: "Busy",
) -> Figure:
    count, seconds = float(done["count"]), float(done["seconds"])
    problem = problem_of(done)
    others = [(busy.measured - cpu.total) / seconds, busy.load / seconds - load_share]
    is_counted = count > 0 and not scenario.busy  # a busy thread's CPU time is not the messages'
    return Figure(
        contender.name,
        scenario.name,
        round_number,
        value=float(done["rate"]) if not problem else None,
        cpu=cpu.total / count * 1e6 if is_counted else None,
        user_cpu=cpu.user / count * 1e6 if is_counted else None,
        p50=float(done["p50_us"]),
        p99=float(done["p99_us"]),
        load_share=load_share,
        disturbed=max(0.0, *others),
        error=problem,
    )


@dataclass(frozen=True)
class Busy:
    """Seconds that the two CPUs have worked for anybody."""

    measured: float
    load: float

    def __sub__(self, other: "Busy") -> "Busy":
        return Busy(self.measured - other.measured, self.load - other.load)


def both_cpus() -> Busy:
    """What both CPUs have worked since the machine began."""
    return Busy(process.cpu_busy(process.MEASURED_CPU), process.cpu_busy(process.LOAD_CPU))


def problem_of(done: Event) -> str:
    """Why the figures of a run are worth nothing, or nothing."""
    if not done["count"]:
        return "nothing came back"
    if failed := int(float(done.get("failed", 0))):
        return f"{failed} handshakes failed"
    if unanswered := int(float(done.get("unanswered_closes", 0))):
        return f"{unanswered} closes were not answered"
    return ""


def line_of(path: Path, index: int) -> str:
    """A line that another process will write within some seconds.

    Raises:
        ServerFailed: it did not.
    """
    end = time.monotonic() + 10
    while time.monotonic() < end:
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        if len(lines) > index and lines[index].endswith("\n"):
            return lines[index]
        time.sleep(0.02)
    raise ServerFailed("the timer was not reported")
