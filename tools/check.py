"""``make check``: what can be said about the code without running it, and the tests of its architecture."""

from __future__ import annotations

import shutil
import subprocess
import sys

import environment
import machine
from step import ROOT, TARGET, Missing, main, run
from tally import Step, Tally
from testing import pytest

LOAD = ROOT / "bench" / "load" / "Cargo.toml"
FUZZ = ROOT / "crates" / "everwire-wire" / "fuzz" / "Cargo.toml"
DEBIANS = {"fmt": "rustfmt-web", "clippy": "rust-web-clippy"}
"""The packages that go with Debian's cargo-web."""


def prepare() -> None:
    """Install and build what the checks need.

    Raises:
        Missing: there is no Rust.
        StepFailed: something does not build.
    """
    environment.engine("dev-opt")
    packages()


def packages() -> None:
    """Install what the checks and the tests import.

    Raises:
        StepFailed: pip failed.
    """
    environment.packages(environment.TOOLS / "check.txt", environment.TESTS / "requirements.txt")


def lanes() -> tuple[list[Step], list[Step]]:
    """Every check but the tests of the architecture: those of Python and those of Rust, which may run side by side."""
    stubs = ("mypy.stubtest", "everwire._core", "--mypy-config-file", "pyproject.toml")
    of_python: list[Step] = [
        ("ruff", ruff),
        ("mypy", lambda: python("mypy")),
        ("pyright", pyright),
        ("stubtest", lambda: python(*stubs)),
    ]
    return of_python, [("rustfmt", rustfmt), ("clippy", clippy)]


def ruff() -> None:
    python("ruff", "check")
    python("ruff", "format", "--check")


def pyright() -> None:
    environment.node_packages()
    run(environment.TESTS / "node_modules" / ".bin" / "pyright", "--pythonpath", sys.executable)


def rustfmt() -> None:
    _component("fmt")
    run("cargo", "fmt", "--all", "--check")
    for manifest in (LOAD, FUZZ):
        run("cargo", "fmt", "--check", "--manifest-path", manifest)


def clippy() -> None:
    _component("clippy")
    strict = ["--", "--deny", "warnings"]
    run("cargo", "clippy", "--workspace", "--all-targets", "--locked", *strict)
    tls = [] if _has_openssl() else ["--no-default-features"]
    load = ["--manifest-path", LOAD, "--all-targets", "--locked", *tls]
    run("cargo", "clippy", *load, *strict, environment={"CARGO_TARGET_DIR": str(TARGET / "bench")})


def architecture() -> None:
    pytest("tests/architecture", "tests/typing")


def python(module: str, *arguments: str) -> None:
    run(sys.executable, "-m", module, *arguments)


def _component(name: str) -> None:
    if machine.may_install() and shutil.which("rustup") is None:
        machine.install({f"cargo-{name}": DEBIANS[name]})
    if subprocess.run(["cargo", name, "--version"], capture_output=True, check=False).returncode:
        raise Missing(f"cargo {name} is missing: rustup component add {'rustfmt' if name == 'fmt' else name}")


def _has_openssl() -> bool:
    """Whether the load generator can be built with TLS."""
    found = shutil.which("pkg-config") and subprocess.run(["pkg-config", "--exists", "openssl"], check=False)
    return bool(found) and found.returncode == 0


def checks() -> int:
    prepare()
    tally = Tally()
    tally.side_by_side(*lanes())
    tally.run("architecture", architecture)
    return tally.finish()


if __name__ == "__main__":
    main(checks)
