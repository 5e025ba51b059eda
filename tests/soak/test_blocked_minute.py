"""A minute in which the event loop stands still, with every default as it is."""

from __future__ import annotations

import json

import pytest

EACH = 10


# Longer than a ping interval and the time for its pong together: every heartbeat was missed.
@pytest.mark.timeout(150)
@pytest.mark.parametrize(
    "loop",
    [pytest.param(loop, marks=pytest.mark.beside("blocked.py", loop, "60")) for loop in ("asyncio", "uvloop")],
)
def test_a_loop_blocked_for_60_s_loses_nobody(outcome, loop):
    seen = json.loads(outcome(120))
    assert seen["connections"] == 2 * EACH
    # Those on the same loop, with heartbeats of their own, and those elsewhere, who talked all the time.
    assert seen["own"] == [str(number) for number in range(EACH)]
    assert (seen["sent"], seen["echoed"]) == (pytest.approx(50, abs=10), EACH)
    assert seen["codes"] == [1000] * EACH
    (text,) = seen["texts"]
    assert text.startswith("the event loop was blocked for")
