"""``make soak``: what has to hold for long, for twenty times as long as in ``make test``."""

import sys

import check
from step import main
from testing import pytest


def soak() -> None:
    check.prepare()
    pytest("tests/soak", *sys.argv[1:], environment={"EVERWIRE_TESTS_SOAK_TIMES": "20"})


if __name__ == "__main__":
    main(soak)
