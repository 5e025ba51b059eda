"""Everything that has to exist before a run: programs, peers, a certificate and Everwire's own wheel.

Each step does nothing when its result is there and still current. A step that fails costs the servers that need it, and
one line that says why; only the load generator is needed by all.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent
BUILD = ROOT / ".build" / "bench"
PYTHON = BUILD / "venv" / "bin" / "python"
NODE_MODULES = BUILD / "node" / "node_modules"
CERTIFICATE = BUILD / "certificate.pem"
KEY = BUILD / "key.pem"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target" / "bench"))
LOAD = TARGET / "release" / "load"
LIMIT = TARGET / "release" / "limit"


class BuildFailed(Exception):
    """One step failed; the text is its last line of output."""


def build(*, everwire: bool, node: bool) -> list[str]:
    """Run every step and return a line for each that failed.

    Args:
        everwire: build the project's own wheel and install it.
        node: install the Node peer.

    Raises:
        BuildFailed: there is no load generator.
    """
    BUILD.mkdir(parents=True, exist_ok=True)
    problems = programs()
    steps = [("the Python peers", python_peers), ("the certificate", certificate)]
    if node:
        steps.append(("the Node peer", node_peers))
    if everwire:
        steps.append(("everwire", everwire_wheel))
    for name, step in steps:
        try:
            step()
        except BuildFailed as error:
            problems.append(f"{name}: {error}")
    return problems


def programs() -> list[str]:
    """The load generator and the reference server, without TLS where OpenSSL's headers are missing."""
    manifest = BENCH / "load" / "Cargo.toml"
    command = ["cargo", "build", "--release", "--locked", "--quiet", "--manifest-path", str(manifest)]
    environment = {"CARGO_TARGET_DIR": str(TARGET)}
    try:
        run(command, environment)
        return []
    except BuildFailed as error:
        run([*command, "--no-default-features"], environment)
        return [f"TLS is not measured, OpenSSL's headers (libssl-dev) seem to be missing: {error}"]


def has_tls() -> bool:
    """Whether there is a certificate, and a load generator that knows TLS."""
    if not CERTIFICATE.exists():
        return False
    # Nobody listens on port 1; a program with TLS gets as far as finding that out.
    probe = subprocess.run([LOAD, "idle", "--port", "1", "--tls"], capture_output=True, text=True, check=False)
    return "without TLS" not in probe.stderr


def python_peers() -> None:
    """A virtual environment with the packages of requirements.txt, of the Python that runs this."""
    requirements = BENCH / "requirements.txt"
    if is_current(PYTHON.parent, requirements):
        return
    say("installing the Python peers")
    if not PYTHON.exists():
        run([sys.executable, "-m", "venv", PYTHON.parent.parent])
    run([PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement", requirements])
    mark_current(PYTHON.parent, requirements)


def node_peers() -> None:
    """The packages of package-lock.json."""
    lock = BENCH / "package-lock.json"
    if is_current(NODE_MODULES, lock):
        return
    say("installing the Node peer")
    NODE_MODULES.parent.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(BENCH / name, NODE_MODULES.parent)
    run(["npm", "ci", "--silent", "--no-audit", "--no-fund", "--prefix", NODE_MODULES.parent])
    mark_current(NODE_MODULES, lock)


def certificate() -> None:
    """A self-signed certificate for loopback, with the kind of key that is usual today."""
    if CERTIFICATE.exists():
        return
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    run(["openssl", "req", "-x509", *curve, "-days", "3650", *names, "-keyout", KEY, "-out", CERTIFICATE])


def everwire_wheel() -> None:
    """Everwire as it is in the working tree, as a release build; cargo knows what has changed."""
    pip = [str(PYTHON), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    # First of all: when the build fails, an older one must not be measured in its place.
    run([*pip, "uninstall", "--yes", "everwire"])
    say("building everwire")
    wheels = BUILD / "wheels"
    shutil.rmtree(wheels, ignore_errors=True)
    run([PYTHON, "-m", "maturin", "build", "--release", "--quiet", "--interpreter", PYTHON, "--out", wheels])
    run([*pip, "install", "--no-deps", *map(str, wheels.glob("*.whl"))])


def run(command: Sequence[str | Path], environment: dict[str, str] | None = None) -> None:
    """Run one command in the repository.

    Raises:
        BuildFailed: it is not installed or did not succeed.
    """
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=os.environ | (environment or {}), capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise BuildFailed(str(error)) from None
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip() or f"exit status {done.returncode}").splitlines()
        raise BuildFailed(next((line for line in lines if line.startswith("error")), lines[-1]).strip())


def is_current(place: Path, source: Path) -> bool:
    stamp = place / ".source"
    return stamp.exists() and stamp.read_text() == digest(source)


def mark_current(place: Path, source: Path) -> None:
    (place / ".source").write_text(digest(source))


def digest(source: Path) -> str:
    return hashlib.sha256(source.read_bytes()).hexdigest()


def say(what: str) -> None:
    print(f"({what})", file=sys.stderr, flush=True)
