"""``make test``: every kind of test there is, and everything that they need."""

from __future__ import annotations

import os
import sys

import check
import environment
import fuzz
import machine
import pythons
from step import Missing, Tally, main, run, say

PROGRAMS = {
    "chromium": "chromium",
    "curl": "curl",
    "haproxy": "haproxy",
    "microsocks": "microsocks",
    "nginx": "nginx-light",
    "tinyproxy": "tinyproxy-bin",
}
"""What tests run that is not Python, and the Debian packages it comes from."""


def suite() -> int:
    check.prepare()
    environment.node_packages()
    try:
        machine.install(PROGRAMS)
    except Missing as missing:
        say(f"{missing}; the tests that need it will fail")
    tally = Tally()
    check.check(tally)
    tally.run("cargo test", crates)
    tally.run("fuzzing, 3 s a target", lambda: fuzz.fuzz(seconds=3))
    for python in pythons.others():
        tally.run(python.name, lambda python=python: pythons.try_out(python))
    tally.run("pytest", pytest)
    return tally.finish()


def pytest() -> None:
    # Two for each CPU: tests wait more than they compute. Where everything hangs, a few minutes tell as much as an hour.
    workers = 2 * (os.cpu_count() or 1)
    run(sys.executable, "-m", "pytest", f"--numprocesses={workers}", "--dist=worksteal", "--maxfail=20", *sys.argv[1:])


def crates() -> None:
    # Not the binding: an extension module is linked against a Python that is there when it is loaded.
    run("cargo", "test", "--locked", "--package", "everwire-wire", "--package", "everwire-reactor")


if __name__ == "__main__":
    main(suite)
