"""What the machine itself must have. As root on Debian it is installed; elsewhere one line says what to install."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import threading
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

from step import ROOT, Missing, run, say

RUSTUP = "install Rust from https://rustup.rs"
_one_at_a_time = threading.Lock()


def rust() -> None:
    """Rust, new enough for the workspace, and a linker.

    Raises:
        Missing: there is none, and none may be installed.
    """
    own = Path.home() / ".cargo" / "bin"
    if shutil.which("cargo") is None and (own / "cargo").exists():
        os.environ["PATH"] = f"{own}{os.pathsep}{os.environ['PATH']}"
    if shutil.which("cc") is None:
        install({"cc": "gcc"})
    wanted = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["rust-version"]
    if shutil.which("cargo") is None:
        if not may_install():
            raise Missing(f"Rust is missing: {RUSTUP}")
        install({"cargo": "cargo-web", "rustc": "rustc-web"})
    said = subprocess.run(["cargo", "--version"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    found = re.match(r"cargo (\d+)\.(\d+)", said)
    if found is None or (int(found[1]), int(found[2])) < tuple(map(int, wanted.split("."))):
        raise Missing(
            f"Rust {wanted} or newer is needed, here is {said.strip() or 'a broken one'}: rustup update, or {RUSTUP}"
        )


def install(programs: Mapping[str, str]) -> None:
    """Install the Debian packages of those programs that are missing.

    Args:
        programs: the package of each program.

    Raises:
        Missing: they may not be installed here; the text names them.
        StepFailed: the package manager failed.
    """
    with _one_at_a_time:
        missing = {program: package for program, package in programs.items() if shutil.which(program) is None}
        if not missing:
            return
        packages = sorted(set(missing.values()))
        if not may_install():
            raise Missing(f"{', '.join(missing)} missing: install it (on Debian: apt-get install {' '.join(packages)})")
        say(f"installing Debian packages: {' '.join(packages)}")
        apt = ["apt-get", "-qq", "-o", "Dpkg::Use-Pty=0"]
        environment = {"DEBIAN_FRONTEND": "noninteractive"}
        run(*apt, "update", environment=environment)
        with _no_daemons():
            run(*apt, "install", "--no-install-recommends", *packages, environment=environment, quiet=True)


def may_install() -> bool:
    """Whether packages can be installed here."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


@contextlib.contextmanager
def _no_daemons() -> Iterator[None]:
    # Debian's way of keeping what is installed from being started: a web server for tests need not serve the machine.
    policy = Path("/usr/sbin/policy-rc.d")
    if policy.exists():
        yield
        return
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink()
