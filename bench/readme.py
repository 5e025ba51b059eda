"""The numbers of the project's README: a few rows of a finished run, and a case in which another is ahead."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from client import CLIENTS
from contender import Contender
from measurement import Figure
from report import Report, best_of
from scenario import SCENARIOS, Kind, Scenario
from server import SERVERS

BEGIN, END = "<!-- numbers: begin", "<!-- numbers: end -->"
"""The lines of the README that the numbers stand between; what follows in the first of them is kept."""

ROWS = {
    "echo64": "echo, 64 B, 100 connections, 1 in flight",
    "echo64x16": "echo, 64 B, 100 connections, 16 in flight",
    "echo1m": "echo, 1 MiB",
    "fan1000": "fan-out to 1,000",
    "idle200": "memory of an idle connection",
}
"""The scenarios that always have a row, and what it is called."""

STYLES = ("everwire", "everwire-async")
ROUNDS = 3
"""Fewer are no numbers to publish."""


class NotRewritten(Exception):
    """The README was left as it is; the text says why."""


def rewrite(page: Path, run: Path) -> None:
    """Put the numbers of a run, a file that ``--json`` made, between the markers of a page.

    Raises:
        NotRewritten: the file is no such run, or lacks a number that has a place; or the page has no place for them.
    """
    try:
        record = json.loads(run.read_text())
        figures = [Figure(**figure) for figure in record["figures"]]
        machine = record["machine"]
        numbers = table(figures) + "\n\n" + origin(figures, machine)
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise NotRewritten(f"{run} is no run that --json wrote: {error!r}") from None
    page.write_text(replaced(page.read_text(), numbers))


def replaced(text: str, numbers: str) -> str:
    """The text with other numbers between its markers.

    Raises:
        NotRewritten: the markers are not there, once and in order.
    """
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise NotRewritten(f"the page needs a line that begins with {BEGIN!r}, and then the line {END!r}, once each")
    before, after = text.index("\n", text.index(BEGIN)), text.index(END)
    return f"{text[:before]}\n\n{numbers}\n\n{text[after:]}"


def table(figures: Sequence[Figure]) -> str:
    """The rows, and one more if there is a scenario of the others in which somebody is ahead of us.

    Raises:
        NotRewritten: a number is missing, or there were too few rounds.
    """
    rounds = max((figure.round for figure in figures), default=0)
    if rounds < ROUNDS:
        raise NotRewritten(f"numbers are medians of {ROUNDS} rounds or more, and the run has {rounds}")
    scenarios = {scenario.name: scenario for scenario in SCENARIOS}
    everybody: list[Contender] = [*SERVERS, *CLIENTS]
    report = Report(figures, everybody, SCENARIOS)
    rows = [row(report, scenarios[name], title) for name, title in ROWS.items()]
    others = [scenario for scenario in SCENARIOS if scenario.name not in ROWS]
    worst = max(others, key=lambda scenario: lag(report, scenario))
    if lag(report, worst) > 1:
        rows.append(row(report, worst, f"where we are furthest behind: {worst.title}"))
    head = [
        "| work | Everwire, callbacks | Everwire, `async for` | best of the others |",
        "| --- | ---: | ---: | ---: |",
    ]
    return "\n".join([*head, *rows])


def row(report: Report, scenario: Scenario, title: str) -> str:
    mine, others = report.scores(scenario, ours=True), report.scores(scenario, ours=False)
    best = best_of(others, scenario)
    missing = [name for name in STYLES if name not in mine]
    if missing or best is None:
        raise NotRewritten(f"{scenario.name} has no figure of {', '.join(missing) or 'anybody else'}")
    cells = [title, *(shown(mine[name], scenario) for name in STYLES), f"{shown(others[best], scenario)} ({best})"]
    return "| " + " | ".join(cells) + " |"


def lag(report: Report, scenario: Scenario) -> float:
    """How many times better the best of the others is than the worse of our styles; 0 if there is nothing to compare."""
    mine, others = report.scores(scenario, ours=True), report.scores(scenario, ours=False)
    best = best_of(others, scenario)
    if best is None or not all(name in mine for name in STYLES):
        return 0.0
    return max(
        others[best] / mine[name] if scenario.kind is Kind.RATE else mine[name] / others[best] for name in STYLES
    )


def shown(score: float, scenario: Scenario) -> str:
    """A score with its unit."""
    match scenario.kind:
        case Kind.RATE:
            return f"{score:.2f}"
        case Kind.MEMORY:
            return f"{score / 1024:.1f} KiB"
        case Kind.TIMER:
            return f"{score:.1f} ms"


def origin(figures: Sequence[Figure], machine: Mapping[str, str]) -> str:
    """Where the numbers come from, in one line."""
    rounds = max(figure.round for figure in figures)
    python = machine["python"].split()[0]
    return (
        f"Medians of {rounds} rounds on {machine['processor']}, Linux {machine['kernel'].partition('-')[0]}, Python {python}, "
        f"{machine['date']}."
    )
