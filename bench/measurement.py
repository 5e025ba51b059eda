"""One figure: a fresh server, one scenario, and what both cost."""

import json
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import build
import process
from generator import Event, Generator, LoadFailed
from scenario import Kind, Scenario
from server import Running, Server, ServerFailed

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


@dataclass(frozen=True)
class Figure:
    """What came out for one server in one scenario in one round.

    Attributes:
        value: by the scenario's kind, a rate, bytes or milliseconds; ``None`` when it failed.
        cpu: microseconds of the server's CPU time for each unit of work.
        user_cpu: the part of it that is user code.
        p50, p99: latency in microseconds.
        load_share: the share of its CPU that the load generator used.
        disturbed: the share that other work took of the server's CPU or of the load generator's, whichever is larger.
        error: why there is no value.
    """

    server: str
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


def measure(server: Server, scenario: Scenario, round_number: int, pace: Pace) -> Figure:
    """One figure; of several tries, the least disturbed."""
    tries: list[Figure] = []
    while len(tries) < pace.tries:
        tries.append(attempt(server, scenario, round_number, pace))
        if tries[-1].disturbed < DISTURBED:
            break
    return min(tries, key=lambda figure: figure.disturbed)


def attempt(server: Server, scenario: Scenario, round_number: int, pace: Pace) -> Figure:
    """One figure, which may be about a failure."""
    how = {Kind.RATE: measure_rate, Kind.TIMER: measure_timer, Kind.MEMORY: measure_memory}
    try:
        return how[scenario.kind](server, scenario, round_number, pace)
    except (LoadFailed, ServerFailed, OSError) as error:  # OSError: the server's entry in /proc is gone
        return Figure(server.name, scenario.name, round_number, error=str(error), disturbed=1.0)


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
    with Generator([*scenario.load, "--connections", str(connections)], running.port) as generator:
        generator.wait_for("open")
        time.sleep(SETTLE)
        return process.private_memory(running.pids)


def observe(
    running: Running,
    scenario: Scenario,
    round_number: int,
    pace: Pace,
    at_edges: Callable[[], None] = lambda: None,
) -> Figure:
    """Run the load and read the server's CPU time at both ends of the measured window; ``at_edges`` is called there."""
    arguments = [*scenario.load, "--seconds", str(pace.seconds), "--warmup", str(pace.warmup)]
    with Generator(arguments, running.port) as generator:
        generator.wait_for("measuring")
        cpu_before, busy_before = process.cpu_time(running.pids), both_cpus()
        at_edges()
        done = generator.wait_for("done")
        cpu = process.cpu_time(running.pids) - cpu_before
        busy = [after - before for after, before in zip(both_cpus(), busy_before, strict=True)]
        at_edges()
    return figure_of(running.server, scenario, round_number, done, cpu, busy)


def figure_of(
    server: Server, scenario: Scenario, round_number: int, done: Event, cpu: process.CPUTime, busy: list[float]
) -> Figure:
    count, seconds = float(done["count"]), float(done["seconds"])
    problem = problem_of(done)
    load_share = float(done["load_share"])
    others = [busy[0] / seconds - cpu.total / seconds, busy[1] / seconds - load_share]
    is_counted = count > 0 and not scenario.busy  # a busy thread's CPU time is not the messages'
    return Figure(
        server.name,
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


def both_cpus() -> tuple[float, float]:
    """Seconds that the server's CPU and the load generator's have worked for anybody."""
    return process.cpu_busy(process.SERVER_CPU), process.cpu_busy(process.LOAD_CPU)


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
