"""Connecting and closing ten thousand times: what is held is the same before and after."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from peer.process import run

KIB = 1024
PROGRAM = (Path(__file__).parent / "cycles.py").read_text()
TESTS = Path(__file__).parent.parent


@pytest.mark.parametrize(
    ("loop", "kind", "style", "cycles"),
    [
        ("asyncio", "plain", "iteration", 10_000),
        ("uvloop", "plain", "callback", 10_000),
        ("asyncio", "core", "callback", 1000),
        ("uvloop", "core", "iteration", 1000),
        ("asyncio", "outside", "iteration", 1000),
    ],
)
def test_cycles_leave_nothing_behind(loop, kind, style, cycles):
    laps = 4
    arguments = (loop, kind, style, str(laps), str(cycles // laps))
    (printed,) = run(PROGRAM, *arguments, within=50, env={**os.environ, "PYTHONPATH": str(TESTS)})
    warm, *others = json.loads(printed)
    for lap in others:
        assert lap["descriptors"] == warm["descriptors"]
        assert lap["tasks"] == 1
        assert lap["engine"] == 0
        # asyncio keeps timers that were cancelled for a while: two hundred, with what belongs to them.
        assert lap["objects"] <= warm["objects"] + 1500
    # What Python allocated in the laps after the first, and has not freed.
    assert others[-1]["traced"] <= others[0]["traced"] + 256 * KIB
    # What is held outside of Python. A lap more or less of pages that wait to be used again is no leak: that would be in both.
    assert min(lap["resident"] for lap in others[-2:]) <= warm["resident"] + 4096 * KIB
