"""What lives in the tree: Python packages in .venv, Node's beside the tests, the engine in the package."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import machine
from step import ROOT, run, say

PYTHON = Path(sys.prefix, "bin", "python")
TOOLS = ROOT / "tools" / "requirements"
TESTS = ROOT / "tests"


def packages(*lists: Path, prefix: Path = Path(sys.prefix)) -> None:
    """Install what requirements files pin; nothing is done for lists that have not changed.

    Raises:
        StepFailed: pip failed.
    """
    for requirements in lists:
        stamp = prefix / f".{requirements.parent.name}-{requirements.stem}"
        if not _is_current(stamp, requirements):
            say(f"installing {requirements.relative_to(ROOT)} in {prefix.name}")
            pip = [prefix / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "--no-input"]
            run(*pip, "install", "--quiet", "--requirement", requirements)
            _mark_current(stamp, requirements)


def node_packages() -> None:
    """Install what the tests' package-lock.json pins.

    Raises:
        Missing: there is no Node.
        StepFailed: npm failed.
    """
    machine.install({"node": "nodejs", "npm": "npm"})
    stamp = TESTS / "node_modules" / ".source"
    if not _is_current(stamp, TESTS / "package-lock.json"):
        say("installing tests/package-lock.json")
        run("npm", "ci", "--no-audit", "--no-fund", "--loglevel=error", folder=TESTS)
        _mark_current(stamp, TESTS / "package-lock.json")


def engine(profile: str) -> None:
    """Build the engine into python/everwire; cargo knows what has changed.

    Args:
        profile: ``dev-opt`` to work and test with, ``release`` to run and measure.

    Raises:
        Missing: there is no Rust.
        StepFailed: it does not build.
    """
    machine.rust()
    packages(TOOLS / "build.txt")
    say(f"building the engine ({profile})")
    maturin = [PYTHON, "-m", "maturin", "develop", "--profile", profile]
    run(*maturin, environment={"VIRTUAL_ENV": sys.prefix})


def _is_current(stamp: Path, source: Path) -> bool:
    return stamp.exists() and stamp.read_text() == _digest(source)


def _mark_current(stamp: Path, source: Path) -> None:
    stamp.write_text(_digest(source))


def _digest(source: Path) -> str:
    return hashlib.sha256(source.read_bytes()).hexdigest()
