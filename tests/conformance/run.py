"""Autobahn|Testsuite against our server and our client, in several styles (``make conformance``).

Without arguments it runs all sections; that takes the better part of an hour. Every result is compared with expected.json. The
suite's own reports, with what was on the wire, stay in .build/conformance/reports.
"""

import argparse
import asyncio
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence

from contest import Broken, Contest, run
from python27 import BUILD, HERE, Missing, Python, suite
from styles import STYLES
from verdict import Outcome, accepted, differences, read_expected, write_expected

EXPECTED = HERE / "expected.json"
SLOW = ("9.*", "12.*", "13.*")
"""Large messages, and thousands of compressed ones: minutes each. The rest takes seconds."""
THOROUGH = ("callback", "iteration")
"""The styles that all sections are run in."""


def main(arguments: Sequence[str]) -> int:
    """Run what is asked for; 0 if everything is as expected."""
    options = _parse(arguments)
    try:
        python = suite()
    except Missing as missing:
        print(f"the conformance suite cannot run: {missing}", file=sys.stderr)
        return 2
    print(f"{len(options.contests)} runs, {options.at_once} at once", flush=True)
    return asyncio.run(_play(options.contests, python, options.at_once, options.accept))


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--all", action="store_true", help="all sections (the default)")
    what.add_argument("--quick", action="store_true", help=f"without the sections {', '.join(SLOW)}")
    what.add_argument("--cases", nargs="+", metavar="PATTERN", help="only these, such as 6.4.* or 7.1.6")
    parser.add_argument("--role", choices=("server", "client"), help="test only one role of ours")
    parser.add_argument("--style", choices=STYLES, help="test only one style")
    parser.add_argument("--accept", action="store_true", help="write what is found to expected.json")
    options = parser.parse_args(arguments)
    cases = options.cases or ("*",)
    options.contests = [
        Contest(role, style, cases, _excluded(options, style))
        for style in STYLES
        if options.style in (None, style)
        for role in ("server", "client")
        if options.role in (None, role)
    ]
    # Much of the quick cases is waiting. In the others the suite and we take turns, and keep one CPU busy together.
    options.at_once = len(options.contests) if options.quick else os.cpu_count() or 1
    return options


def _excluded(options: argparse.Namespace, style: str) -> tuple[str, ...]:
    if options.cases or (style in THOROUGH and not options.quick):
        return ()
    return SLOW


async def _play(contests: Sequence[Contest], python: Python, at_once: int, accept: bool) -> int:
    places = asyncio.Semaphore(at_once)
    progress = _Progress()

    async def play(contest: Contest) -> tuple[dict[str, Outcome], list[str], float]:
        async with places:
            began = time.monotonic()
            found, cases = await run(contest, python, BUILD / "reports", progress)
            return found, cases, time.monotonic() - began

    results = await asyncio.gather(*map(play, contests), return_exceptions=True)
    expected = read_expected(EXPECTED)
    table, complaints = [], []
    for contest, result in zip(contests, results, strict=True):
        if isinstance(result, Broken):
            complaints.append(str(result))
        elif isinstance(result, BaseException):
            raise result
        else:
            found, cases, seconds = result
            if accept:
                expected = accepted(expected, contest.role, found)
            table.append(_row(contest, found, seconds))
            lines = differences(expected.get(contest.role, {}), found, cases)
            complaints += [f"{contest.name} {line}" for line in lines]
    if accept:
        write_expected(EXPECTED, expected)
    _print(table)
    print(*(complaints or ["as expected, and nothing failed"]), sep="\n", flush=True)
    return 1 if complaints else 0


def _row(contest: Contest, found: dict[str, Outcome], seconds: float) -> tuple[object, ...]:
    failed = sum(outcome.is_failure for outcome in found.values())
    kinds = Counter(outcome.behavior for outcome in found.values() if not outcome.is_failure)
    counts = [kinds[kind] for kind in ("OK", "NON-STRICT", "INFORMATIONAL")]
    return contest.role, contest.style, len(found), *counts, failed, f"{seconds:.0f} s"


def _print(table: Sequence[tuple[object, ...]]) -> None:
    head = ("role", "style", "cases", "ok", "non-strict", "informational", "failed", "time")
    for row in (head, *table):
        print("{:<8}{:<12}{:>6}{:>6}{:>12}{:>15}{:>8}{:>8}".format(*map(str, row)))


class _Progress:
    """Says now and then how far every run is."""

    def __init__(self) -> None:
        self._due = 0.0

    def __call__(self, contest: Contest, begun: int, of: int, case: str) -> None:
        now = time.monotonic()
        if now >= self._due or begun == of:
            self._due = now + 5
            print(f"{contest.name}: case {case}, {begun} of {of}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
