"""Figures to tables: medians over the rounds, ratios within each round."""

import statistics
from collections.abc import Callable, Sequence

from measurement import DISTURBED, Figure
from scenario import Kind, Scenario
from server import Server

Cell = Callable[[Server, Scenario], str]


class Report:
    """All figures of a run, looked up by server and scenario."""

    def __init__(self, figures: Sequence[Figure], servers: Sequence[Server], scenarios: Sequence[Scenario]) -> None:
        self.figures = figures
        self.servers = servers
        self.rates = [scenario for scenario in scenarios if scenario.kind is Kind.RATE]
        self.absolutes = [scenario for scenario in scenarios if scenario.kind is not Kind.RATE]

    def text(self) -> str:
        """The whole report."""
        parts = []
        if self.rates:
            parts += [
                self.table("Rate as a ratio to `limit` in the same round (busy64: to picows)", self.rates, self.ratio),
                self.table("Rate per second", self.rates, self.rate),
                self.table("Server CPU, µs for each unit of work (in brackets: user code)", self.rates, self.cpu),
                self.table(
                    "Load generator's share of its CPU (near 1: compare CPU, not rates)", self.rates, self.share
                ),
            ]
        if self.absolutes:
            title = "Memory, bytes for each idle connection; timer, p99 of its lateness in ms"
            parts.append(self.table(title, self.absolutes, self.absolute))
        parts.append("\n".join([*self.losses(), *self.misses(), *self.failures(), *self.disturbances()]))
        return "\n\n".join(part for part in parts if part)

    def score(self, server: str, scenario: Scenario) -> float | None:
        """What targets are about: the median ratio of a rate, the median of anything else."""
        mine = self.by_round(server, scenario)
        if scenario.kind is not Kind.RATE:
            return median(list(mine.values()))
        reference = self.by_round(scenario.reference, scenario)
        return median([mine[number] / reference[number] for number in mine if number in reference])

    def by_round(self, server: str, scenario: Scenario) -> dict[int, float]:
        return {
            figure.round: figure.value
            for figure in self.figures
            if (figure.server, figure.scenario) == (server, scenario.name) and figure.value is not None
        }

    def losses(self) -> list[str]:
        """A line for each scenario in which somebody else is better than one of ours."""
        if not any(server.is_ours for server in self.servers):
            return ["Where we lose: everwire was not measured."]
        lines = []
        for scenario in [*self.rates, *self.absolutes]:
            others = [s for s in self.servers if not s.is_ours and s.package]
            found = {server.name: self.score(server.name, scenario) for server in others}
            scores = {name: score for name, score in found.items() if score is not None}
            if not scores:
                continue
            best = (max if scenario.kind is Kind.RATE else min)(scores, key=lambda name: scores[name])
            for server in self.servers:
                mine = self.score(server.name, scenario) if server.is_ours else None
                if mine is not None and is_better(scores[best], mine, scenario):
                    lines.append(f"- {scenario.name}: {server.name} {number(mine)}, {best} {number(scores[best])}")
        return ["Where we lose:", *lines] if lines else ["Where we lose: nowhere in this run."]

    def misses(self) -> list[str]:
        """A line for each target that was not reached."""
        lines = [
            f"- {scenario.name}: {name} {number(score)}, target {number(target)}"
            for scenario in [*self.rates, *self.absolutes]
            for name, target in scenario.targets.items()
            if (score := self.score(name, scenario)) is not None and scenario.is_missed(name, score)
        ]
        return ["Targets that are not reached:", *lines] if lines else []

    def failures(self) -> list[str]:
        lines = [f"- {f.scenario}, round {f.round}: {f.server}: {f.error}" for f in self.figures if f.error]
        return ["Failed:", *lines] if lines else []

    def disturbances(self) -> list[str]:
        count = sum(figure.disturbed >= DISTURBED and not figure.error for figure in self.figures)
        if not count:
            return []
        return [f"Other work took {DISTURBED:.0%} of a CPU or more in {count} of {len(self.figures)} figures."]

    def ratio(self, server: Server, scenario: Scenario) -> str:
        score = self.score(server.name, scenario)
        return self.missing(server, scenario) if score is None else f"{score:.2f}"

    def rate(self, server: Server, scenario: Scenario) -> str:
        value = self.middle(server, scenario, lambda figure: figure.value)
        return self.missing(server, scenario) if value is None else number(value)

    def cpu(self, server: Server, scenario: Scenario) -> str:
        total = self.middle(server, scenario, lambda figure: figure.cpu)
        user = self.middle(server, scenario, lambda figure: figure.user_cpu)
        return "-" if total is None or user is None else f"{number(total)} ({number(user)})"

    def share(self, server: Server, scenario: Scenario) -> str:
        share = self.middle(server, scenario, lambda figure: figure.load_share)
        return "-" if share is None else f"{share:.2f}"

    def absolute(self, server: Server, scenario: Scenario) -> str:
        score = self.score(server.name, scenario)
        return self.missing(server, scenario) if score is None else number(score)

    def missing(self, server: Server, scenario: Scenario) -> str:
        """What stands for no figure: it failed, or was not to be measured."""
        mine = [f for f in self.figures if (f.server, f.scenario) == (server.name, scenario.name)]
        return "fails" if mine and all(figure.error for figure in mine) else "-"

    def middle(self, server: Server, scenario: Scenario, part: Callable[[Figure], float | None]) -> float | None:
        parts = [part(f) for f in self.figures if (f.server, f.scenario) == (server.name, scenario.name)]
        return median([value for value in parts if value is not None])

    def table(self, title: str, scenarios: Sequence[Scenario], cell: Cell) -> str:
        """A Markdown table that is aligned for a terminal."""
        rows = [["server", *(scenario.name for scenario in scenarios)]]
        rows += [[server.name, *(cell(server, scenario) for scenario in scenarios)] for server in self.servers]
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = ["| " + " | ".join(pad(row, widths)) + " |" for row in rows]
        rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
        return "\n".join([f"{title}:", "", lines[0], "| " + " | ".join(rule) + " |", *lines[1:]])


def pad(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [row[0].ljust(widths[0]), *(text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True))]


def is_better(one: float, other: float, scenario: Scenario) -> bool:
    return one > other if scenario.kind is Kind.RATE else one < other


def median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None


def number(value: float) -> str:
    """Three digits or so: 1.23M, 45.6k, 789, 12.3, 0.45."""
    for size, suffix in ((1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e6 if suffix == 'M' else 1e3):.3g}{suffix}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
