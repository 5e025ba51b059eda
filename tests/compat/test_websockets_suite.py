"""The test suite of `websockets` itself, run against Everwire: what fails is what ``expected.toml`` says, and nothing else."""

from __future__ import annotations

import asyncio
import collections
import fnmatch
import functools
import json
import os
import sys
import tomllib
from pathlib import Path

import pytest

from compat import suite, upstream

pytestmark = pytest.mark.timeout(400)

HERE = Path(__file__).parent
QUICK, SLOW = 20, 100
"""Milliseconds for the unit of time in these tests: first for all of them, then for those that failed."""
PATIENCE = 200
"""Seconds for a run of a part."""


@functools.cache
def expected() -> dict[str, str]:
    """The reason for each pattern that holds for the version whose tests are run."""
    with (HERE / "expected.toml").open("rb") as file:
        differences = tomllib.load(file)["difference"]
    version = upstream.version()
    held = [difference for difference in differences if difference.get("version", version) == version]
    return {pattern: difference["reason"] for difference in held for pattern in difference["tests"]}


def is_expected(test: str) -> bool:
    return any(fnmatch.fnmatchcase(test, pattern) for pattern in expected())


async def run(part: str, factor: int, tests: list[str]) -> dict[str, str]:
    """How the tests of a part went, by name: all of them, or some."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, HERE / "suite.py", upstream.tree(), part, *tests,
        env={**os.environ, "WEBSOCKETS_TESTS_TIMEOUT_FACTOR": str(factor)},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(PATIENCE):
            output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, errors.decode()
    outcomes: dict[str, str] = json.loads(output)
    return outcomes


@pytest.fixture(scope="session")
def outcomes() -> dict[str, str]:
    """How every test went. Those whose failure is a surprise are run again, with more time: this machine may be busy."""
    try:
        upstream.tree()
    except upstream.Unavailable as error:
        pytest.fail(str(error), pytrace=False)
    return asyncio.run(all_parts())


async def all_parts() -> dict[str, str]:
    found: dict[str, str] = {}
    for outcomes in await asyncio.gather(*(run(part, QUICK, []) for part in suite.MODULES)):
        found |= outcomes
    for part in suite.MODULES:
        again = [test for test, outcome in found.items() if part_of(test) == part and is_surprise(test, outcome)]
        if again:
            found |= await run(part, SLOW, again)
    return found


def part_of(test: str) -> str:
    return "connection" if test.startswith("test_connection.") else "names"


def is_surprise(test: str, outcome: str) -> bool:
    return outcome not in ("ok", "skipped") and not is_expected(test)


def test_what_fails_is_expected_to_fail(outcomes: dict[str, str]) -> None:
    assert not {test: outcome for test, outcome in outcomes.items() if is_surprise(test, outcome)}


def test_what_is_expected_to_fail_still_does(outcomes: dict[str, str]) -> None:
    passed = [test for test, outcome in outcomes.items() if outcome == "ok" and is_expected(test)]
    failing = [test for test, outcome in outcomes.items() if outcome not in ("ok", "skipped")]
    idle = [pattern for pattern in expected() if not fnmatch.filter(failing, pattern)]
    assert not passed
    assert not idle


def test_most_of_the_suite_applies(outcomes: dict[str, str]) -> None:
    counts = collections.Counter(outcome if outcome in ("ok", "skipped") else "failed" for outcome in outcomes.values())
    assert counts["ok"] >= 360, counts
