"""What the kernel says about processes and CPUs; Linux only."""

import os
import resource
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

_CPUS = sorted(os.sched_getaffinity(0))
MEASURED_CPU = _CPUS[0]
"""The CPU of what is measured: a server, or a client."""
LOAD_CPU = _CPUS[min(1, len(_CPUS) - 1)]
"""The CPU of the other side: the load generator, or the server of a client; the same one where there is only one."""

_TICK = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class CPUTime:
    """Seconds of CPU time."""

    user: float = 0.0
    system: float = 0.0

    @property
    def total(self) -> float:
        """User code and kernel together."""
        return self.user + self.system

    def __add__(self, other: "CPUTime") -> "CPUTime":
        return CPUTime(self.user + other.user, self.system + other.system)

    def __sub__(self, other: "CPUTime") -> "CPUTime":
        return CPUTime(self.user - other.user, self.system - other.system)


def pin_to(cpu: int) -> Callable[[], None]:
    """What a child does before it executes its program: take its CPU, and as many descriptors as are allowed."""

    def prepare() -> None:
        os.sched_setaffinity(0, {cpu})
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    return prepare


def tree(root: int) -> list[int]:
    """A process and all its descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := stat(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def is_running(pid: int) -> bool:
    """Whether the process has not ended."""
    fields = stat(pid)
    return bool(fields) and fields[0] not in "ZX"


def cpu_time(pids: Iterable[int]) -> CPUTime:
    """What the processes have used since they began (utime and stime; 10 ms steps)."""
    total = CPUTime()
    for pid in pids:
        if fields := stat(pid):
            total += CPUTime(int(fields[11]) * _TICK, int(fields[12]) * _TICK)
    return total


def cpu_busy(cpu: int) -> float:
    """Seconds that a CPU has worked for anybody since the machine began."""
    for line in Path("/proc/stat").read_text().splitlines():
        name, *fields = line.split()
        if name == f"cpu{cpu}":
            user, nice, system, _idle, _wait, interrupts, soft_interrupts, stolen, *_guests = map(int, fields)
            return (user + nice + system + interrupts + soft_interrupts + stolen) * _TICK
    raise LookupError(f"there is no CPU {cpu}")


def private_memory(pids: Iterable[int]) -> int:
    """Bytes that would be free if the processes ended."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith(("Private_Clean:", "Private_Dirty:")):
                total += int(line.split()[1]) * 1024
    return total


def stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat that follow the command's name; none when the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
