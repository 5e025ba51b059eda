"""Figures to tables: medians over the rounds, ratios within each round."""

import statistics
from collections.abc import Callable, Mapping, Sequence

from contender import Contender
from measurement import DISTURBED, Figure
from scenario import Kind, Scenario, Side

Cell = Callable[[Contender, Scenario], str]

RATIO = {
    Side.SERVER: "Servers: rate as a ratio to `limit` in the same round (busy64: to picows)",
    Side.CLIENT: "Clients: rate as a ratio to picows in the same round",
}
SHARE = {
    Side.SERVER: "Load generator's share of its CPU (near 1: compare CPU, not rates)",
    Side.CLIENT: "Share of its CPU that `limit`, their server, used (near 1: compare CPU, not rates)",
}


class Report:
    """All figures of a run, looked up by server or client and scenario."""

    def __init__(
        self, figures: Sequence[Figure], contenders: Sequence[Contender], scenarios: Sequence[Scenario]
    ) -> None:
        self.figures = figures
        self.contenders = contenders
        self.scenarios = scenarios

    def text(self) -> str:
        """The whole report."""
        parts = [part for side in Side for part in self.rates(side)]
        if absolutes := [scenario for scenario in self.scenarios if scenario.kind is not Kind.RATE]:
            title = "Memory, bytes for each idle connection; timer, p99 of its lateness in ms"
            parts.append(self.table(title, absolutes, self.absolute))
        parts.append("\n".join([*self.losses(), *self.misses(), *self.failures(), *self.disturbances()]))
        return "\n\n".join(part for part in parts if part)

    def rates(self, side: Side) -> list[str]:
        """The tables about rates; none when none was measured on that side."""
        rates = [scenario for scenario in self.scenarios if scenario.side is side and scenario.kind is Kind.RATE]
        if not rates:
            return []
        tables = [
            self.table(RATIO[side], rates, self.ratio),
            self.table("Rate per second", rates, self.rate),
            self.table(f"CPU of the {side.value}, µs for each unit of work (in brackets: user code)", rates, self.cpu),
        ]
        if side is Side.CLIENT:
            tables.append(self.table("Latency, µs: p50 (in brackets: p99)", rates, self.latency))
        return [*tables, self.table(SHARE[side], rates, self.share)]

    def score(self, name: str, scenario: Scenario) -> float | None:
        """What targets are about: the median ratio of a rate, the median of anything else."""
        mine = self.by_round(name, scenario)
        if scenario.kind is not Kind.RATE:
            return median(list(mine.values()))
        reference = self.by_round(scenario.reference, scenario)
        return median([mine[number] / reference[number] for number in mine if number in reference])

    def by_round(self, name: str, scenario: Scenario) -> dict[int, float]:
        return {
            figure.round: figure.value
            for figure in self.figures
            if (figure.contender, figure.scenario) == (name, scenario.name) and figure.value is not None
        }

    def losses(self) -> list[str]:
        """A line for each scenario in which somebody else is better than one of ours."""
        lines = []
        for scenario in self.scenarios:
            others = self.scores(scenario, ours=False)
            mine = self.scores(scenario, ours=True)
            best = best_of(others, scenario)
            lines += [
                f"- {scenario.name}: {name} {number(score)}, {best} {number(others[best])}"
                for name, score in mine.items()
                if best is not None and scenario.is_better(others[best], score)
            ]
            if scenario.side is Side.CLIENT:
                lines += self.later(scenario)
        if not any(contender.is_ours for contender in self.contenders):
            return ["Where we lose: everwire was not measured."]
        return ["Where we lose:", *lines] if lines else ["Where we lose: nowhere in this run."]

    def later(self, scenario: Scenario) -> list[str]:
        """A line for each of our clients that has a longer p99 than the best of the others."""
        p99 = {c: self.middle(c, scenario, lambda figure: figure.p99) for c in self.taking_part(scenario)}
        others = [value for contender, value in p99.items() if value is not None and not contender.is_ours]
        return [
            f"- {scenario.name}: {contender.name} p99 {number(value)} µs, best of the others {number(min(others))} µs"
            for contender, value in p99.items()
            if contender.is_ours and value is not None and others and value > min(others)
        ]

    def scores(self, scenario: Scenario, *, ours: bool) -> dict[str, float]:
        """The scores of ours, or of everybody else but the reference server, by name."""
        found = {
            contender.name: self.score(contender.name, scenario)
            for contender in self.taking_part(scenario)
            if contender.package and contender.is_ours == ours
        }
        return {name: score for name, score in found.items() if score is not None}

    def taking_part(self, scenario: Scenario) -> list[Contender]:
        return [contender for contender in self.contenders if contender.takes_part(scenario)]

    def misses(self) -> list[str]:
        """A line for each target that was not reached."""
        lines = []
        for scenario in self.scenarios:
            mine = self.scores(scenario, ours=True)
            lines += [
                f"- {scenario.name}: {name} {number(score)}, target {number(scenario.targets[name])}"
                for name, score in mine.items()
                if scenario.is_missed(name, score)
            ]
            lines += self.costly(scenario)
        return ["Targets that are not reached:", *lines] if lines else []

    def costly(self, scenario: Scenario) -> list[str]:
        """A line for each of ours that needs more user code than the scenario's target."""
        most = scenario.most_user_cpu
        user_cpu = {
            contender.name: self.middle(contender, scenario, lambda figure: figure.user_cpu)
            for contender in self.taking_part(scenario)
            if contender.is_ours and most
        }
        return [
            f"- {scenario.name}: {name} {number(value)} µs of user code for each {scenario.unit}, target {number(most)}"
            for name, value in user_cpu.items()
            if value is not None and value > most
        ]

    def failures(self) -> list[str]:
        lines = [f"- {f.scenario}, round {f.round}: {f.contender}: {f.error}" for f in self.figures if f.error]
        return ["Failed:", *lines] if lines else []

    def disturbances(self) -> list[str]:
        count = sum(figure.disturbed >= DISTURBED and not figure.error for figure in self.figures)
        if not count:
            return []
        return [f"Other work took {DISTURBED:.0%} of a CPU or more in {count} of {len(self.figures)} figures."]

    def ratio(self, contender: Contender, scenario: Scenario) -> str:
        score = self.score(contender.name, scenario)
        return self.missing(contender, scenario) if score is None else f"{score:.2f}"

    def rate(self, contender: Contender, scenario: Scenario) -> str:
        value = self.middle(contender, scenario, lambda figure: figure.value)
        return self.missing(contender, scenario) if value is None else number(value)

    def cpu(self, contender: Contender, scenario: Scenario) -> str:
        total = self.middle(contender, scenario, lambda figure: figure.cpu)
        user = self.middle(contender, scenario, lambda figure: figure.user_cpu)
        return "-" if total is None or user is None else f"{number(total)} ({number(user)})"

    def latency(self, contender: Contender, scenario: Scenario) -> str:
        p50 = self.middle(contender, scenario, lambda figure: figure.p50)
        p99 = self.middle(contender, scenario, lambda figure: figure.p99)
        return "-" if p50 is None or p99 is None else f"{number(p50)} ({number(p99)})"

    def share(self, contender: Contender, scenario: Scenario) -> str:
        share = self.middle(contender, scenario, lambda figure: figure.load_share)
        return "-" if share is None else f"{share:.2f}"

    def absolute(self, contender: Contender, scenario: Scenario) -> str:
        score = self.score(contender.name, scenario)
        return self.missing(contender, scenario) if score is None else number(score)

    def missing(self, contender: Contender, scenario: Scenario) -> str:
        """What stands for no figure: it failed, or was not to be measured."""
        mine = [f for f in self.figures if (f.contender, f.scenario) == (contender.name, scenario.name)]
        return "fails" if mine and all(figure.error for figure in mine) else "-"

    def middle(self, contender: Contender, scenario: Scenario, part: Callable[[Figure], float | None]) -> float | None:
        parts = [part(f) for f in self.figures if (f.contender, f.scenario) == (contender.name, scenario.name)]
        return median([value for value in parts if value is not None])

    def table(self, title: str, scenarios: Sequence[Scenario], cell: Cell) -> str:
        """A Markdown table that is aligned for a terminal; a row for everybody on that side."""
        sides = {scenario.side for scenario in scenarios}
        rows = [["", *(scenario.name for scenario in scenarios)]]
        for contender in self.contenders:
            if contender.side in sides:
                rows.append([contender.name, *(cell(contender, scenario) for scenario in scenarios)])
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = ["| " + " | ".join(pad(row, widths)) + " |" for row in rows]
        rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
        return "\n".join([f"{title}:", "", lines[0], "| " + " | ".join(rule) + " |", *lines[1:]])


def pad(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [row[0].ljust(widths[0]), *(text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True))]


def best_of(scores: Mapping[str, float], scenario: Scenario) -> str | None:
    """Whose score is the best; nobody's if there are none."""
    order = max if scenario.kind is Kind.RATE else min
    return order(scores, key=lambda name: scores[name]) if scores else None


def median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None


def number(value: float) -> str:
    """Three digits or so: 1.23M, 45.6k, 789, 12.3, 0.45."""
    for size, suffix in ((1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e6 if suffix == 'M' else 1e3):.3g}{suffix}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
