"""The quick sections of Autobahn|Testsuite, both roles, every style of handler; ``make conformance`` runs all sections."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).with_name("run.py")


@pytest.mark.timeout(400)
def test_no_case_fails_and_every_result_is_the_expected_one() -> None:
    run = subprocess.run(
        [sys.executable, RUN, "--quick"], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-4000:]
