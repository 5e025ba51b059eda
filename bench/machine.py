"""What the figures were taken on: the machine, the tools, the peers' versions."""

import datetime
import json
import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path

import build
from contender import Contender

PACKAGES = """
import importlib.metadata, json, sys
print(json.dumps({d.metadata["Name"]: d.version for d in importlib.metadata.distributions()}))
"""


def installed() -> dict[str, str]:
    """Version of each package that a server or client may need, by its name."""
    versions: dict[str, str] = {}
    if build.PYTHON.exists():
        versions |= json.loads(output([str(build.PYTHON), "-c", PACKAGES]) or "{}")
    manifest = build.NODE_MODULES / "ws" / "package.json"
    if manifest.exists() and output(["node", "--version"]):
        versions["ws"] = json.loads(manifest.read_text())["version"]
    return versions


def describe(contenders: Sequence[Contender]) -> dict[str, str]:
    """The day, the machine, and the versions of everything that takes part."""
    versions = installed()
    python = output([str(build.PYTHON), "-c", "import ssl, sys; print(sys.version.split()[0], ssl.OPENSSL_VERSION)"])
    facts = {
        "date": datetime.date.today().isoformat(),
        "processor": f"{processor()}, {len(os.sched_getaffinity(0))} CPUs",
        "kernel": platform.release(),
        "congestion control": read("/proc/sys/net/ipv4/tcp_congestion_control"),
        "rust": output(["rustc", "--version"]).removeprefix("rustc "),
        "python": f"{python}, uvloop {versions.get('uvloop', 'missing')}",
    }
    if any(contender.is_node for contender in contenders):
        facts["node"] = output(["node", "--version"])
    if any(contender.is_ours for contender in contenders):
        commit = output(["git", "-C", str(build.ROOT), "describe", "--always", "--dirty"])
        facts["commit"] = commit or "none yet"
    for contender in contenders:
        if contender.package:
            facts[contender.package] = versions.get(contender.package, "missing")
    return facts


def processor() -> str:
    """The processor's own name."""
    for line in read("/proc/cpuinfo").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return "unknown"


def output(command: list[str]) -> str:
    """What a command prints, or nothing when it fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
