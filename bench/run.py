#!/usr/bin/env python3
"""Measure Everwire beside its peers and beside what this machine's kernel allows. README.md says how to read it."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import build
import check
import lock
import machine
import process
from measurement import Figure, Pace, measure
from report import Report, number
from scenario import REFERENCE, SCENARIOS, Kind, Scenario
from server import SERVERS, Runtime, Server

QUICK = Pace(seconds=0.5, warmup=0.2, idle_connections=500, tries=1)
INTERRUPTED = 130
"""The exit status after Ctrl-C."""

Choice = TypeVar("Choice", Server, Scenario)


def main() -> int:
    """Run what the command line asks for, and return the exit status."""
    options = parse()
    try:
        with lock.exclusive():
            return run(options)
    except (lock.Locked, build.BuildFailed) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is measured [3]")
    parser.add_argument("--servers", help=f"some of {','.join(server.name for server in SERVERS)} [all]")
    parser.add_argument("--scenarios", help=f"some of {','.join(scenario.name for scenario in SCENARIOS)} [all]")
    parser.add_argument("--seconds", type=float, help="measured time of one figure [2]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single figure to FILE")
    parser.add_argument("--quick", action="store_true", help="one short round: does it run? Not for numbers")
    parser.add_argument("--check", action="store_true", help="measure nothing: does every server answer correctly?")
    parser.add_argument("--setup", action="store_true", help="measure nothing: build and install what is needed")
    options = parser.parse_args()
    try:
        options.servers = chosen(SERVERS, options.servers)
        options.scenarios = chosen(SCENARIOS, options.scenarios)
    except LookupError as error:
        parser.error(str(error))
    return options


def run(options: argparse.Namespace) -> int:
    servers, has_tls = prepare(options.servers)
    if options.setup:
        return 0
    if options.check:
        return 0 if check.check(servers, tls=has_tls) else 1
    pace = QUICK if options.quick else Pace()
    if options.seconds is not None:
        pace = Pace(options.seconds, pace.warmup, pace.idle_connections, pace.tries)
    scenarios = [scenario for scenario in options.scenarios if has_tls or not scenario.tls]
    facts = machine.describe(servers)
    print("\n".join(f"{name}: {fact}" for name, fact in facts.items()), flush=True)

    figures: list[Figure] = []
    work = list(plan(servers, scenarios, 1 if options.quick else options.rounds))
    status = 0
    try:
        for done, (round_number, scenario, server) in enumerate(work, start=1):
            figure = measure(server, scenario, round_number, pace)
            figures.append(figure)
            print(progress(figure, scenario, f"{done}/{len(work)}"), file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        status = INTERRUPTED  # what was measured until now is worth a report
    if options.json:
        options.json.write_text(json.dumps({"machine": facts, "figures": [vars(f) for f in figures]}, indent=1) + "\n")
    print("\n" + Report(figures, servers, scenarios).text())
    return status


def prepare(wanted: Sequence[Server]) -> tuple[list[Server], bool]:
    """Build what is missing; the servers that can run, and whether TLS can be measured."""
    problems = build.build(
        everwire=any(server.is_ours for server in wanted),
        node=any(server.runtime is Runtime.NODE for server in wanted),
    )
    packages = machine.installed()
    servers = [server for server in wanted if not server.package or server.package in packages]
    if process.SERVER_CPU == process.LOAD_CPU:
        problems.append("there is only one CPU: the load generator takes its time from the servers")
    for line in problems:
        print(f"problem: {line}", flush=True)
    for server in wanted:
        if server not in servers:
            print(f"skipped: {server.name} ({server.package} is not installed)", flush=True)
    return servers, build.has_tls()


def plan(
    servers: Sequence[Server], scenarios: Sequence[Scenario], rounds: int
) -> Iterator[tuple[int, Scenario, Server]]:
    """All servers under one scenario, then under the next, so that what is compared is measured close together."""
    for number_of_round in range(1, rounds + 1):
        for scenario in scenarios:
            if scenario.kind is Kind.MEMORY and number_of_round > 1:
                continue  # varies by less than a percent
            for server in servers:
                if server.takes_part(scenario):
                    yield number_of_round, scenario, server


def progress(figure: Figure, scenario: Scenario, position: str) -> str:
    start = f"{position:>8}  round {figure.round}  {figure.scenario:11} {figure.server:15}"
    if figure.value is None:
        return f"{start} failed: {figure.error}"
    if scenario.kind is Kind.MEMORY:
        return f"{start} {number(figure.value):>6} B a connection"
    if scenario.kind is Kind.TIMER:
        return f"{start} {number(figure.value):>6} ms late (p99)"
    cpu = "" if figure.cpu is None else f"  {number(figure.cpu):>5} µs a {scenario.unit}"
    return f"{start} {number(figure.value):>6}/s{cpu}  load {figure.load_share:.2f}  disturbed {figure.disturbed:.2f}"


def chosen(everything: Sequence[Choice], names: str | None) -> list[Choice]:
    """The entries with the given names, in the table's order; the reference is always among the servers.

    Raises:
        LookupError: there is no such name.
    """
    if names is None:
        return list(everything)
    wanted = set(names.split(","))
    if unknown := wanted - {entry.name for entry in everything}:
        raise LookupError(f"there is no {', '.join(sorted(unknown))}")
    return [entry for entry in everything if entry.name in wanted or entry.name == REFERENCE]


if __name__ == "__main__":
    sys.exit(main())
