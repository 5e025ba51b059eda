"""An event loop that stands still for so long that every heartbeat is missed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from peer.process import run

from soak.length import PATIENCE, TIMES

EACH = 10
PROGRAM = (Path(__file__).parent / "blocked.py").read_text()
SECONDS = min(6 * TIMES, 60)
"""In the long form a minute, and heartbeats have the default interval."""


@pytest.mark.timeout(PATIENCE)
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_loop_that_was_blocked_for_long_loses_nobody(loop):
    (printed,) = run(PROGRAM, loop, str(SECONDS), within=0.8 * PATIENCE, env=dict(os.environ))
    seen = json.loads(printed)
    assert seen["connections"] == 2 * EACH
    # Those on the same loop, with heartbeats of their own, and those elsewhere, who talked all the time.
    assert seen["own"] == [str(number) for number in range(EACH)]
    assert seen["sent"] > 10
    assert seen["echoed"] == EACH
    assert seen["codes"] == [1000] * EACH
    (text,) = seen["texts"]
    assert text.startswith("the event loop was blocked for")
