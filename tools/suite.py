"""``make test``: every kind of test there is, and everything that they need."""

from __future__ import annotations

import sys
from functools import partial

import check
import environment
import fuzz
import machine
import pythons
from step import Missing, StepFailed, main, run, say
from tally import Step, Tally
from testing import pytest

PROGRAMS = {
    "chromium": "chromium",
    "curl": "curl",
    "haproxy": "haproxy",
    "ip": "iproute2",
    "microsocks": "microsocks",
    "nginx": "nginx-light",
    "tinyproxy": "tinyproxy-bin",
}
"""What tests run that is not Python, and the Debian packages it comes from."""


def suite() -> int:
    set_up()
    of_python, of_rust = check.lanes()
    others: list[Step] = [(python.name, partial(pythons.try_out, python)) for python in pythons.others()]
    fuzzing: Step = ("fuzzing, 3 s a target", lambda: fuzz.fuzz(seconds=3))
    tally = Tally()
    tally.side_by_side([*of_rust, ("cargo test", crates), fuzzing], [*of_python, *others])
    # Beside nothing else: its processes keep every CPU busy, and some tests measure.
    tally.run("pytest", lambda: pytest(*sys.argv[1:]))
    return tally.finish()


def set_up() -> None:
    """Build and install what the tests need.

    Raises:
        StepFailed: it is not there now.
    """
    tally = Tally()
    tally.side_by_side(
        [("the engine", lambda: environment.engine("dev-opt"))],
        [("Python's packages", check.packages), ("Node's packages", environment.node_packages)],
        [("programs", programs)],
    )
    if not tally.all_passed:
        tally.finish()
        raise StepFailed("what the tests need is not there: see above")


def programs() -> None:
    try:
        machine.install(PROGRAMS)
    except Missing as missing:
        say(f"{missing}; the tests that need it will fail")


def crates() -> None:
    # Not the binding: an extension module is linked against a Python that is there when it is loaded.
    run("cargo", "test", "--locked", "--package", "everwire-wire", "--package", "everwire-reactor")


if __name__ == "__main__":
    main(suite)
