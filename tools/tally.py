"""Steps that do not depend on each other, one after another or side by side, and a table of what became of them."""

from __future__ import annotations

import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait

from step import Missing, StepFailed, bounded, end_all, say

PATIENCE = 900.0
"""Seconds for a step: several times what the longest takes, and less than anybody wants to wait for one that hangs."""
SILENCE = 30.0
"""Seconds after which one is told that steps are still going on."""

Step = tuple[str, Callable[[], None]]
"""What it is called, and how it is done."""


class Tally:
    """All steps are run, whatever becomes of others; then a table tells."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, float, str]] = []
        self._running: dict[str, float] = {}
        self._lock = threading.Lock()
        self._is_stopped = False

    @property
    def all_passed(self) -> bool:
        """Whether every step so far was run and succeeded."""
        return all(result == "passed" for _, _, result in self._rows)

    def run(self, title: str, step: Callable[[], None]) -> None:
        """Run one step; its output is seen as it comes."""
        say(title)
        with bounded(PATIENCE):
            result, seconds = _attempt(step)
        self._rows.append((title, seconds, result))
        if result != "passed":
            print(result, file=sys.stderr, flush=True)

    def side_by_side(self, *lanes: Sequence[Step]) -> None:
        """Run lanes of steps at the same time, those of a lane one after another; the output of each is shown when it ends."""
        say("side by side: " + "; ".join(", ".join(title for title, _ in lane) for lane in lanes))
        with ThreadPoolExecutor(len(lanes)) as threads:
            going_on = {threads.submit(self._follow, lane) for lane in lanes}
            try:
                while going_on:
                    ended, going_on = wait(going_on, timeout=SILENCE)
                    for lane in ended:
                        lane.result()
                    self._tell_what_is_running()
            except BaseException:
                self._is_stopped = True
                while wait(going_on, timeout=1).not_done:
                    end_all()
                raise

    def _follow(self, lane: Sequence[Step]) -> None:
        for title, step in lane:
            if self._is_stopped:
                break
            with self._lock:
                self._running[title] = time.monotonic()
            with tempfile.TemporaryFile() as output:
                with bounded(PATIENCE, output):
                    result, seconds = _attempt(step)
                with self._lock:
                    del self._running[title]
                    self._rows.append((title, seconds, result))
                    say(f"{title}: {result}, {seconds:.0f} s")
                    output.seek(0)
                    shutil.copyfileobj(output, sys.stderr.buffer)
                    sys.stderr.flush()

    def _tell_what_is_running(self) -> None:
        with self._lock:
            running = [f"{title} ({time.monotonic() - began:.0f} s)" for title, began in self._running.items()]
            if running:
                print(f"... {', '.join(running)}", file=sys.stderr, flush=True)

    def finish(self) -> int:
        """Print the table; return the exit status."""
        say("what became of it")
        width = max(len(title) for title, _, _ in self._rows)
        for title, seconds, result in self._rows:
            print(f"{title:{width}}  {seconds:5.0f} s  {result}", file=sys.stderr)
        return int(any(result.startswith("FAILED") for _, _, result in self._rows))


def _attempt(step: Callable[[], None]) -> tuple[str, float]:
    """What became of a step, and how long it took."""
    began = time.monotonic()
    try:
        step()
    except Missing as missing:
        result = f"not run: {missing}"
    except StepFailed as failed:
        result = f"FAILED: {failed}"
    else:
        result = "passed"
    return result, time.monotonic() - began
