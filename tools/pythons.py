"""The package on every other supported Python of this machine: built as a wheel, installed, and tried out.

Each has a virtual environment in target/pythons; nothing is built again while the sources are the same.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import environment
import machine
from step import ROOT, TARGET, main, run, say
from testing import CPUS, pytest

FOLDER = TARGET / "pythons"
SOURCES = ("Cargo.toml", "Cargo.lock", "pyproject.toml", "crates/**/*.rs", "crates/*/Cargo.toml", "python/**/*.py")
TESTS = ("tests/integration", "tests/faults/test_fork.py", "tests/faults/test_program_end.py")
CHOSEN = "not identity and not core"
"""What may differ from one Python to another: awaitables, tasks, threads, garbage, asyncio's transports; not TLS in the core."""
NEEDED = ("cryptography", "psutil", "pytest", "pytest-asyncio", "pytest-timeout", "pytest-xdist", "trustme", "uvloop")
"""What these tests import, in the versions of tests/requirements.txt."""


def others() -> list[Path]:
    """The interpreters, but for that of the project's own environment."""
    listed = subprocess.run([ROOT / "tools" / "python", "--list"], capture_output=True, text=True, check=True).stdout
    own = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return [Path(line) for line in listed.splitlines() if Path(line).name != own]


def try_out(python: Path) -> None:
    """Build, install and run its tests with one Python.

    Raises:
        StepFailed: one of these failed.
    """
    folder = FOLDER / python.name
    if not (folder / "bin" / "python").exists():
        run(python, "-m", "venv", folder)
    constraints = environment.TESTS / "requirements.txt"
    run(*_pip(folder), "install", "--quiet", "--constraint", constraints, *NEEDED)
    stamp = folder / ".everwire"
    if not stamp.exists() or stamp.read_text() != _digest():
        say(f"building a wheel for {python.name}")
        wheels = folder / "wheels"
        build = [sys.executable, "-m", "maturin", "build", "--profile", "dev-opt", "--locked", "--quiet"]
        run(*build, "--interpreter", folder / "bin" / "python", "--out", wheels)
        newest = max(wheels.glob("*.whl"), key=lambda wheel: wheel.stat().st_mtime)
        run(*_pip(folder), "install", "--quiet", "--no-deps", "--force-reinstall", newest)
        stamp.write_text(_digest())
    # Something else runs beside this.
    pytest(*TESTS, "-k", CHOSEN, python=folder / "bin" / "python", workers=CPUS)


def _pip(folder: Path) -> list[str | Path]:
    return [folder / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "--no-input"]


def _digest() -> str:
    digest = hashlib.sha256()
    for pattern in SOURCES:
        for source in sorted(ROOT.glob(pattern)):
            digest.update(str(source.relative_to(ROOT)).encode() + b"\0" + source.read_bytes() + b"\0")
    return digest.hexdigest()


def pythons() -> None:
    machine.rust()
    environment.packages(environment.TOOLS / "build.txt")
    for python in others():
        try_out(python)


if __name__ == "__main__":
    main(pythons)
