"""The source tree of `websockets`, with its tests and examples, which the package on PyPI does not have.

It is fetched once into ``.build/``: the newest that was tested from where the authors keep it; where that cannot be reached, an
older one from Debian, which keeps the tree of its stable release as the authors tagged it. Nothing of it is part of this
repository.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

from conformance.python27 import Missing, mirror

NEWEST = "17.0.1"
COMMIT = "fd3f16cc4f57ace08e323a7806f1432e957cb75e"
DEBIANS = "15.0.1"
DEBIANS_SHA256 = "8451495265af3e368f794c4dc15c99ce90c771d95560f542bff8c64b5455af3b"
BUILD = Path(__file__).parents[2] / ".build"
VERSION_FILE = Path("src", "websockets", "version.py")


class Unavailable(Exception):
    """The tree cannot be had here; the text says why, in a line."""


def tree() -> Path:
    """The tree's directory.

    ``EVERWIRE_WEBSOCKETS_TREE`` names another one, to look at the tests of another version.

    Raises:
        Unavailable: it cannot be fetched.
    """
    if other := os.environ.get("EVERWIRE_WEBSOCKETS_TREE"):
        return Path(other)
    BUILD.mkdir(parents=True, exist_ok=True)
    # Tests in other processes want it, too.
    with open(BUILD / "websockets.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return found() or fetched()


def place(version: str) -> Path:
    return BUILD / f"websockets-{version}"


def found() -> Path | None:
    return next((place(version) for version in (NEWEST, DEBIANS) if place(version).exists()), None)


def fetched() -> Path:
    reasons = []
    for version, fetch in ((NEWEST, from_authors), (DEBIANS, from_debian)):
        work = BUILD / f"fetching-{os.getpid()}"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        try:
            return fetch(work).rename(place(version))
        except (OSError, subprocess.SubprocessError, Unavailable) as error:
            reasons.append(f"{fetch.__name__}: {error}")
        finally:
            shutil.rmtree(work, ignore_errors=True)
    raise Unavailable(f"no source tree of websockets can be fetched: {'; '.join(reasons)}")


def version() -> str:
    """Which version the tree is of."""
    found = re.search(r'^tag = version = commit = "(.+)"$', (tree() / VERSION_FILE).read_text(), flags=re.MULTILINE)
    if found is None:
        raise Unavailable(f"{tree()} does not tell its version")
    return found[1]


def from_authors(work: Path) -> Path:
    url = "https://github.com/python-websockets/websockets.git"
    run(["git", "clone", "-q", "--depth", "1", "--branch", NEWEST, url, "tree"], work)
    commit = run(["git", "-C", "tree", "rev-parse", "HEAD"], work).strip()
    if commit != COMMIT:
        raise Unavailable(f"the tag names {commit}, not what was tested")
    return work / "tree"


def from_debian(work: Path) -> Path:
    sources = work / "sources.list"
    keys = "/usr/share/keyrings/debian-archive-keyring.gpg"
    try:
        sources.write_text(f"deb-src [signed-by={keys}] {mirror()} trixie main\n")
    except Missing as error:
        raise Unavailable(str(error)) from error
    for directory in ("lists/partial", "archives/partial"):
        (work / directory).mkdir(parents=True)
    options = {
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": "-",
        "Dir::State": work,
        "Dir::State::status": "/dev/null",
        "Dir::Cache": work,
        "APT::Sandbox::User": "",
        "Acquire::Languages": "none",
    }
    apt = ["apt-get", "-q", *(word for name, value in options.items() for word in ("-o", f"{name}={value}"))]
    run([*apt, "update"], work)
    run([*apt, "source", "--download-only", "--tar-only", f"python-websockets={DEBIANS}-1"], work)
    archive = work / f"python-websockets_{DEBIANS}.orig.tar.gz"
    if hashlib.sha256(archive.read_bytes()).hexdigest() != DEBIANS_SHA256:
        raise Unavailable("the archive is not the one that was tested")
    with tarfile.open(archive) as opened:
        # Early versions of Python 3.11 have no filters; the archive is known.
        opened.extractall(work, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    return work / f"websockets-{DEBIANS}"


def run(command: list[str], cwd: Path) -> str:
    # Nobody is there to be asked for a password.
    quiet = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
    result = subprocess.run(command, cwd=cwd, env=quiet, capture_output=True, text=True, timeout=120, check=False)
    if result.returncode != 0:
        lines = result.stderr.strip().splitlines() or ["no message"]
        raise Unavailable(f"{command[0]}: {lines[-1]}")
    return result.stdout
