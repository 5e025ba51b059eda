"""What the figures were taken on: the machine, the tools, the peers' versions."""

import json
import os
import platform
import subprocess
from collections.abc import Iterable
from pathlib import Path

import build
from server import Runtime, Server

PACKAGES = """
import importlib.metadata, json, sys
print(json.dumps({d.metadata["Name"]: d.version for d in importlib.metadata.distributions()}))
"""


def installed() -> dict[str, str]:
    """Version of each package that a server may need, by its name."""
    versions: dict[str, str] = {}
    if build.PYTHON.exists():
        versions |= json.loads(output([str(build.PYTHON), "-c", PACKAGES]) or "{}")
    manifest = build.NODE_MODULES / "ws" / "package.json"
    if manifest.exists() and output(["node", "--version"]):
        versions["ws"] = json.loads(manifest.read_text())["version"]
    return versions


def describe(servers: Iterable[Server]) -> dict[str, str]:
    """The machine and the versions of everything that takes part."""
    versions = installed()
    python = output([str(build.PYTHON), "-c", "import ssl, sys; print(sys.version.split()[0], ssl.OPENSSL_VERSION)"])
    facts = {
        "processor": f"{processor()}, {len(os.sched_getaffinity(0))} CPUs",
        "kernel": platform.release(),
        "congestion control": read("/proc/sys/net/ipv4/tcp_congestion_control"),
        "rust": output(["rustc", "--version"]).removeprefix("rustc "),
        "python": f"{python}, uvloop {versions.get('uvloop', 'missing')}",
    }
    if any(server.runtime is Runtime.NODE for server in servers):
        facts["node"] = output(["node", "--version"])
    if any(server.is_ours for server in servers):
        commit = output(["git", "-C", str(build.ROOT), "describe", "--always", "--dirty"])
        facts["commit"] = commit or "none yet"
    for server in servers:
        if server.package:
            facts[server.package] = versions.get(server.package, "missing")
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
