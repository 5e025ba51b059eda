#!/usr/bin/env python3
"""Measure Everwire beside its peers and beside what this machine's kernel allows. README.md says how to read it."""

import argparse
import json
import sys
from collections.abc import Collection, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeVar

import build
import check
import lock
import machine
import process
import readme
from client import CLIENTS
from contender import Contender
from measurement import Figure, Pace, measure
from report import Report, number
from scenario import SCENARIOS, Kind, Scenario, Side
from server import SERVERS

QUICK = Pace(seconds=0.5, warmup=0.2, idle_connections=500, tries=1)
INTERRUPTED = 130
"""The exit status after Ctrl-C."""

Choice = TypeVar("Choice", Contender, Scenario)


def main() -> int:
    """Run what the command line asks for, and return the exit status."""
    options = parse()
    try:
        if options.readme:
            readme.rewrite(build.ROOT / "README.md", options.readme)
            return 0
        with lock.exclusive():
            return run(options)
    except (lock.Locked, build.BuildFailed, readme.NotRewritten) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is measured [3]")
    parser.add_argument("--servers", help=f"some of {names(SERVERS)} [all]")
    parser.add_argument("--clients", help=f"some of {names(CLIENTS)} [all]")
    parser.add_argument("--scenarios", help=f"some of {names(SCENARIOS)}, or patterns as client* [all]")
    parser.add_argument("--seconds", type=float, help="measured time of one figure [2]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single figure to FILE")
    parser.add_argument("--quick", action="store_true", help="one short round: does it run? Not for numbers")
    parser.add_argument(
        "--check", action="store_true", help="measure nothing: does everybody send and answer correctly?"
    )
    parser.add_argument("--setup", action="store_true", help="measure nothing: build and install what is needed")
    parser.add_argument(
        "--readme", type=Path, metavar="FILE", help="measure nothing: put the numbers that --json wrote into README.md"
    )
    options = parser.parse_args()
    try:
        options.scenarios = chosen(SCENARIOS, options.scenarios)
        needed = {(scenario.side, scenario.reference) for scenario in options.scenarios}
        options.contenders = [
            contender
            for contenders, wanted in ((SERVERS, options.servers), (CLIENTS, options.clients))
            for contender in chosen(contenders, wanted, needed)
            if any(contender.takes_part(scenario) for scenario in options.scenarios)
        ]
    except LookupError as error:
        parser.error(str(error))
    return options


def run(options: argparse.Namespace) -> int:
    contenders, is_complete, has_tls = prepare(options.contenders)
    if options.setup:
        return 0 if is_complete else 1
    if options.check:
        return 0 if check.check(contenders, tls=has_tls) and is_complete else 1
    pace = QUICK if options.quick else Pace()
    if options.seconds is not None:
        pace = Pace(options.seconds, pace.warmup, pace.idle_connections, pace.tries)
    scenarios = [scenario for scenario in options.scenarios if has_tls or not scenario.tls]
    facts = machine.describe(contenders)
    print("\n".join(f"{name}: {fact}" for name, fact in facts.items()), flush=True)

    figures: list[Figure] = []
    work = list(plan(contenders, scenarios, 1 if options.quick else options.rounds))
    is_interrupted = False
    try:
        for done, (round_number, scenario, contender) in enumerate(work, start=1):
            figure = measure(contender, scenario, round_number, pace)
            figures.append(figure)
            print(progress(figure, scenario, f"{done}/{len(work)}"), file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        is_interrupted = True  # what was measured until now is worth a report
    if options.json:
        options.json.write_text(json.dumps({"machine": facts, "figures": [vars(f) for f in figures]}, indent=1) + "\n")
    print("\n" + Report(figures, contenders, scenarios).text())
    if is_interrupted:
        return INTERRUPTED
    return 0 if is_complete and not any(figure.error for figure in figures) else 1


def prepare(wanted: Sequence[Contender]) -> tuple[list[Contender], bool, bool]:
    """Build what is missing.

    Returns:
        Those that can run, whether those are all that nothing excuses (Node may be missing), and whether TLS can be measured.
    """
    problems = build.build(
        everwire=any(contender.is_ours for contender in wanted),
        node=any(contender.is_node for contender in wanted),
    )
    packages = machine.installed()
    present = [contender for contender in wanted if not contender.package or contender.package in packages]
    if process.MEASURED_CPU == process.LOAD_CPU:
        problems.append("there is only one CPU: the two sides take their time from each other")
    for line in problems:
        print(f"problem: {line}", flush=True)
    missing = [contender for contender in wanted if contender not in present]
    for contender in missing:
        what = f"{contender.side.value} {contender.name}"
        print(f"skipped: {what} ({contender.package} is not installed)", flush=True)
    return present, all(contender.is_node for contender in missing), build.has_tls()


def plan(
    contenders: Sequence[Contender], scenarios: Sequence[Scenario], rounds: int
) -> Iterator[tuple[int, Scenario, Contender]]:
    """All of them under one scenario, then under the next, so that what is compared is measured close together."""
    for number_of_round in range(1, rounds + 1):
        for scenario in scenarios:
            if scenario.kind is Kind.MEMORY and number_of_round > 1:
                continue  # varies by less than a percent
            for contender in contenders:
                if contender.takes_part(scenario):
                    yield number_of_round, scenario, contender


def progress(figure: Figure, scenario: Scenario, position: str) -> str:
    start = f"{position:>8}  round {figure.round}  {figure.scenario:12} {figure.contender:15}"
    if figure.value is None:
        return f"{start} failed: {figure.error}"
    if scenario.kind is Kind.MEMORY:
        return f"{start} {number(figure.value):>6} B a connection"
    if scenario.kind is Kind.TIMER:
        return f"{start} {number(figure.value):>6} ms late (p99)"
    cpu = "" if figure.cpu is None else f"  {number(figure.cpu):>5} µs a {scenario.unit}"
    other = f"{'load' if scenario.side is Side.SERVER else 'limit'} {figure.load_share:.2f}"
    return f"{start} {number(figure.value):>6}/s{cpu}  {other}  disturbed {figure.disturbed:.2f}"


def chosen(
    everything: Sequence[Choice], patterns: str | None, needed: Collection[tuple[Side, str]] = ()
) -> list[Choice]:
    """The entries whose names match, in the table's order, and those that are needed as references.

    Raises:
        LookupError: a pattern matches nothing.
    """
    if patterns is None:
        return list(everything)
    wanted = patterns.split(",")
    for pattern in wanted:
        if not any(fnmatchcase(entry.name, pattern) for entry in everything):
            raise LookupError(f"there is no {pattern} among {names(everything)}")
    return [
        entry
        for entry in everything
        if any(fnmatchcase(entry.name, pattern) for pattern in wanted) or (entry.side, entry.name) in needed
    ]


def names(entries: Sequence[Contender] | Sequence[Scenario]) -> str:
    return ",".join(entry.name for entry in entries)


if __name__ == "__main__":
    sys.exit(main())
