"""What type checkers make of a program that uses the package as its users do."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("program.py")
PYRIGHT = Path(__file__).parents[1] / "node_modules" / ".bin" / "pyright"

Found = dict[int, str]
"""By line: the type that was revealed, or ``"mistake"``."""


def expected() -> Found:
    found = {}
    for number, line in enumerate(PROGRAM.read_text().splitlines(), 1):
        if match := re.search(r"  # (?:-> (?P<type>.+)|mistake)$", line):
            found[number] = match["type"] or "mistake"
    return found


def mypy(folder: Path) -> Found:
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--output=json", f"--cache-dir={folder}"]
    run = subprocess.run([*command, PROGRAM], cwd=folder, capture_output=True, text=True, check=False)
    found = {}
    for line in run.stdout.splitlines():
        report = json.loads(line)
        revealed = re.fullmatch(r'Revealed type is "(.+)"', report["message"])
        found[report["line"]] = plain(revealed[1]) if revealed else "mistake"
    assert found, run.stderr
    return found


def pyright(folder: Path) -> Found:
    command = [PYRIGHT, "--pythonpath", sys.executable, "--outputjson", PROGRAM]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    found = {}
    for report in json.loads(run.stdout)["generalDiagnostics"]:
        revealed = re.fullmatch(r'Type of ".+" is "(.+)"', report["message"], flags=re.DOTALL)
        found[report["range"]["start"]["line"] + 1] = plain(revealed[1]) if revealed else "mistake"
    return found


def plain(shown: str) -> str:
    """A type without the modules that it comes from, with callables as they are written."""
    shown = re.sub(r"\b[a-z_]+(?:\.[a-z_]+)*\.(?=[A-Za-z_])|(?<=\w)@\d+", "", shown)
    callable_ = r"\(def \((.+?)\)\)|\(\((.+?)\) -> None\)"
    shown = re.sub(callable_, lambda match: f"Callable[[{match[1] or match[2]}], None]", shown)
    return shown.replace("CoroutineType[", "Coroutine[")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("checker", [mypy, pyright])
def test_users_see_these_types_and_no_others(checker: type[mypy], tmp_path: Path) -> None:
    assert checker(tmp_path) == expected()
