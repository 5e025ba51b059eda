"""How ``make test`` runs its steps: side by side, in bounded time, each to its end whatever becomes of the others."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest

TOOLS = Path(__file__).parents[2] / "tools"
HEAD = """
import sys, time
from step import Missing, StepFailed, main, run, say
from tally import Tally
import tally
def python(code): run(sys.executable, "-c", code)
"""


def start(program: str) -> subprocess.Popen[str]:
    """A program that uses the tools."""
    return subprocess.Popen(
        [sys.executable, "-c", HEAD + textwrap.dedent(program)],
        env={**os.environ, "PYTHONPATH": str(TOOLS)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Its exit status and what was said."""
    try:
        said, _ = process.communicate(timeout=30)
    finally:
        process.kill()
    return process.returncode, said


def table(said: str) -> dict[str, str]:
    """What became of each step."""
    rows = said.partition("what became of it\n")[2].splitlines()
    return {row.split("  ")[0]: row.partition(" s  ")[2] for row in rows}


def test_every_step_is_run_whatever_becomes_of_others() -> None:
    status, said = finish(
        start("""
        def missing(): raise Missing("a thing is missing: get it")
        steps = Tally()
        steps.side_by_side(
            [("wrong", lambda: python("exit(3)")), ("right", lambda: python("print('right')"))], [("missing", missing)]
        )
        steps.run("alone", lambda: python("print('alone')"))
        sys.exit(steps.finish())
        """)
    )
    rows = table(said)
    assert rows.pop("wrong").startswith("FAILED: ")
    assert rows == {"right": "passed", "missing": "not run: a thing is missing: get it", "alone": "passed"}
    assert status == 1


def test_what_is_missing_is_no_failure() -> None:
    status, said = finish(
        start("""
        def missing(): raise Missing("a thing is missing: get it")
        steps = Tally()
        steps.run("missing", missing)
        assert not steps.all_passed
        sys.exit(steps.finish())
        """)
    )
    assert status == 0, said


def test_steps_in_lanes_run_at_the_same_time_and_each_is_shown_in_one_piece(tmp_path: Path) -> None:
    meeting = tmp_path / "meeting"
    # Whoever opens one end waits for the other.
    os.mkfifo(meeting)
    status, said = finish(
        start(f"""
        def talk(name, mode):
            python(f"print('{{name}} 1', flush=True); open('{meeting}', '{{mode}}').close(); print('{{name}} 2')")
        steps = Tally()
        steps.side_by_side([("a", lambda: talk("a", "r"))], [("b", lambda: talk("b", "w"))])
        sys.exit(steps.finish())
        """)
    )
    assert status == 0, said
    assert "a 1\na 2\n" in said
    assert "b 1\nb 2\n" in said


HANGING = "import os, subprocess, sys, time; subprocess.Popen(['sleep', '60']); print(os.getpid(), flush=True); time.sleep(60)"
"""A program that waits for long, and so does one that it started."""


def still_running(group: int) -> list[int]:
    """The processes of a command that have not ended."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found


def test_a_step_that_hangs_is_ended_with_what_it_started() -> None:
    status, said = finish(
        start(f"""
        tally.PATIENCE = 1
        steps = Tally()
        steps.run("hangs", lambda: python({HANGING!r}))
        steps.side_by_side([("hangs, too", lambda: python({HANGING!r})), ("goes on", lambda: python("print('well')"))])
        sys.exit(steps.finish())
        """)
    )
    assert status == 1, said
    assert table(said)["hangs"].endswith("took too long, and was ended")
    assert table(said)["hangs, too"].endswith("took too long, and was ended")
    assert "well" in said
    hanging = [int(line) for line in said.splitlines() if line.isdecimal()]
    assert len(hanging) == 2
    assert [still_running(number) for number in hanging] == [[], []]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_ends_every_lane_and_begins_no_other_step(tmp_path: Path, number: signal.Signals) -> None:
    begun = [tmp_path / "a", tmp_path / "b"]
    for path in begun:
        os.mkfifo(path)
    process = start(f"""
        def hang(path): python(f"import os; open('{{path}}', 'w').write(str(os.getpid())); {HANGING}")
        never = ("never", lambda: print("never begun"))
        lanes = [[(path, lambda path=path: hang(path)), never] for path in {list(map(str, begun))}]
        main(lambda: Tally().side_by_side(*lanes))
        """)
    running = [int(path.read_text()) for path in begun]
    process.send_signal(number)
    status, said = finish(process)
    assert status == 130, said
    assert "never begun" not in said
    assert [still_running(number) for number in running] == [[], []]


def test_a_quiet_command_is_heard_only_if_it_fails() -> None:
    status, said = finish(
        start("""
        run(sys.executable, "-c", "print('fine')", quiet=True)
        main(lambda: run(sys.executable, "-c", "print('why'); exit(7)", quiet=True))
        """)
    )
    assert status == 1
    assert "fine" not in said
    assert "why" in said
    assert "ended with 7" in said
