"""Autobahn|Testsuite, installed: it is a program for Python 2.7, which few machines still have.

A Python 2.7 is looked for on the path and among those of pyenv. On Debian without one the packages of Debian 11, the last
release with it, are unpacked into .build/ from the machine's own mirror; nothing is installed on the machine.
"""

import dataclasses
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILD = HERE.parents[1] / ".build" / "conformance"
REQUIREMENTS = HERE / "requirements.txt"

VIRTUALENV = "virtualenv==20.21.1"
"""The last one that makes environments of Python 2.7."""

PACKAGES = (
    *("python2.7", "python2.7-minimal", "libpython2.7-minimal", "libpython2.7-stdlib"),
    *("libpython2.7-dev", "libssl1.1", "libffi7"),
)
"""The interpreter, the headers that extensions are built with, and libraries that later releases have in other versions."""

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
ADVICE = "install Python 2.7, for instance with pyenv: pyenv install 2.7.18"


class Missing(Exception):
    """The suite cannot be set up here; the text says in one line what to do."""


@dataclasses.dataclass(frozen=True)
class Python:
    """A Python 2.7, and the variables that it needs."""

    path: Path
    variables: Mapping[str, str]

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a process that runs it."""
        return os.environ | self.variables | {"PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": "ignore"}


def suite() -> Python:
    """The Python 2.7 with the suite in it; made at the first call, which takes a minute or two.

    Raises:
        Missing: something that it takes is not there.
    """
    BUILD.mkdir(parents=True, exist_ok=True)
    with open(BUILD / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        base = _find() or _unpack()
        home = BUILD / "python2.7"
        python = Python(home / "bin" / "python", base.variables)
        wanted = hashlib.sha256(f"{base} {VIRTUALENV} {REQUIREMENTS.read_text()}".encode()).hexdigest()
        stamp = home / ".made-from"
        if not stamp.exists() or stamp.read_text() != wanted:
            print("setting up Autobahn|Testsuite in .build/conformance", flush=True)
            shutil.rmtree(home, ignore_errors=True)
            _make(home, base)
            pip: list[str | Path] = [
                python.path,
                "-m",
                "pip",
                "--disable-pip-version-check",
                "--no-python-version-warning",
            ]
            _run(
                "the suite does not install", *pip, "install", "-q", "-r", REQUIREMENTS, environment=python.environment
            )
            stamp.write_text(wanted)
    return python


def _find() -> Python | None:
    for path in _candidates():
        python = Python(path, {})
        if _works(python):
            return python
    return None


def _candidates() -> Iterator[Path]:
    if found := shutil.which("python2.7"):
        yield Path(found)
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from sorted(pyenv.glob("versions/2.7.*/bin/python2.7"))


def _works(python: Python) -> bool:
    # pyenv puts a python2.7 on the path that runs nothing; and a Python without headers builds no extensions.
    code = "import ssl, zlib, os, distutils.sysconfig as s; assert os.path.exists(s.get_python_inc() + '/Python.h')"
    done = subprocess.run([python.path, "-c", code], env=python.environment, capture_output=True, check=False)
    return done.returncode == 0


def _make(home: Path, base: Python) -> None:
    tools = BUILD / "tools"
    _run("python3-venv is missing: apt-get install python3-venv", sys.executable, "-m", "venv", tools)
    _run("virtualenv does not install", tools / "bin" / "pip", "install", "-q", VIRTUALENV)
    virtualenv: list[str | Path] = [tools / "bin" / "virtualenv", "-q", "--no-periodic-update"]
    _run("virtualenv failed", *virtualenv, "-p", base.path, home, environment=base.environment)


def _unpack() -> Python:
    root = BUILD / "debian"
    libraries = f"{root}/usr/lib/{os.uname().machine}-linux-gnu"
    variables = {"LD_LIBRARY_PATH": libraries, "CPATH": f"{root}/usr/include/python2.7:{root}/usr/include"}
    python = Python(root / "usr/bin/python2.7", variables)
    if not python.path.exists():
        _download(root)
    return python


def _download(root: Path) -> None:
    if shutil.which("apt-get") is None or not KEYRING.exists():
        raise Missing(f"Python 2.7 is missing: {ADVICE}")
    apt = BUILD / "apt"
    for folder in ("state/lists/partial", "cache/archives/partial", "sources"):
        (apt / folder).mkdir(parents=True, exist_ok=True)
    fields = {"Types": "deb", "URIs": mirror(), "Suites": "bullseye", "Components": "main", "Signed-By": str(KEYRING)}
    (apt / "sources" / "bullseye.sources").write_text("".join(f"{name}: {value}\n" for name, value in fields.items()))
    settings = {"State": "state", "Cache": "cache", "Etc::sourceparts": "sources", "Etc::sourcelist": "none"}
    (apt / "apt.conf").write_text("".join(f'Dir::{name} "{apt / value}";\n' for name, value in settings.items()))
    environment = os.environ | {"APT_CONFIG": str(apt / "apt.conf")}
    print("downloading Debian 11's Python 2.7", flush=True)
    _run(f"Debian 11 cannot be reached: {ADVICE}", "apt-get", "-qq", "update", environment=environment)
    unpacked = apt / "unpacked"
    shutil.rmtree(unpacked, ignore_errors=True)
    unpacked.mkdir()
    hint = f"Debian 11 has no Python 2.7 for this machine: {ADVICE}"
    _run(hint, "apt-get", "-qq", "download", *PACKAGES, environment=environment, folder=unpacked)
    for package in sorted(unpacked.glob("*.deb")):
        _run("dpkg-deb is missing: apt-get install dpkg", "dpkg-deb", "-x", package, unpacked)
    shutil.rmtree(root, ignore_errors=True)
    unpacked.rename(root)


def mirror() -> str:
    """Where this machine gets Debian from.

    Raises:
        Missing: it does not know.
    """
    command = ["apt-get", "indextargets", "--format", "$(ORIGIN) $(LABEL) $(REPO_URI)", "Created-By: Packages"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    for line in listed.splitlines():
        if line.startswith("Debian Debian "):
            return line.split(" ")[2]
    raise Missing(f"apt-get knows no Debian mirror yet (apt-get update), or this is not Debian: {ADVICE}")


def _run(
    failure: str, *command: str | Path, environment: Mapping[str, str] | None = None, folder: Path | None = None
) -> None:
    try:
        done = subprocess.run(
            command, env=environment, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise Missing(f"{failure} ({error})") from None
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines() or ["it said nothing"]
        errors = [line for line in said if "error" in line.lower()] or said[-1:]
        raise Missing(f"{failure} ({' '.join(map(str, command[:2]))}: {errors[0].strip()})")
