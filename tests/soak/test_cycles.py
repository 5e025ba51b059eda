"""Connecting and closing again and again: what is held is the same before and after."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from peer.process import run

from soak.length import PATIENCE, TIMES

KIB = 1024
PROGRAM = (Path(__file__).parent / "cycles.py").read_text()
TESTS = Path(__file__).parent.parent


@pytest.mark.timeout(PATIENCE)
@pytest.mark.parametrize(
    ("loop", "kind", "style", "cycles"),
    [
        ("asyncio", "plain", "iteration", 2000),
        ("uvloop", "plain", "callback", 2000),
        ("asyncio", "core", "callback", 400),
        ("uvloop", "core", "iteration", 400),
        ("asyncio", "outside", "iteration", 400),
    ],
)
def test_cycles_leave_nothing_behind(loop, kind, style, cycles):
    laps = 4
    arguments = (loop, kind, style, str(laps), str(TIMES * cycles // laps))
    (printed,) = run(PROGRAM, *arguments, within=0.8 * PATIENCE, env={**os.environ, "PYTHONPATH": str(TESTS)})
    warm, *others = json.loads(printed)
    for lap in others:
        assert lap["descriptors"] == warm["descriptors"]
        assert lap["tasks"] == 1
        assert lap["engine"] == 0
        # asyncio keeps timers that were cancelled for a while: two hundred, with what belongs to them.
        assert lap["objects"] <= warm["objects"] + 1500
    # What Python allocated in the laps after the first, and has not freed.
    assert others[-1]["traced"] <= others[0]["traced"] + 256 * KIB
    # What is held outside of Python. Pages that wait to be used again are no leak: that grows with each lap.
    resident = [lap["resident"] for lap in (warm, *others)]
    assert min(resident[2:]) <= max(resident[:2]) + 4096 * KIB
