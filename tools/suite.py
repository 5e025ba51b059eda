"""``make test``: every kind of test there is, and everything that they need."""

from __future__ import annotations

import sys

import check
import environment
import fuzz
import machine
import pythons
from step import Missing, Tally, main, run, say

PROGRAMS = {"chromium": "chromium", "haproxy": "haproxy", "nginx": "nginx", "openssl": "openssl"}
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
    tally.run("pytest", lambda: run(sys.executable, "-m", "pytest", *sys.argv[1:]))
    return tally.finish()


def crates() -> None:
    # Not the binding: an extension module is linked against a Python that is there when it is loaded.
    run("cargo", "test", "--locked", "--package", "everwire-wire", "--package", "everwire-reactor")


if __name__ == "__main__":
    main(suite)
