"""What is measured: one entry for each scenario, with the targets that Everwire has set itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

REFERENCE = "limit"
"""The server whose rate is 1."""


class Side(Enum):
    """What a scenario measures."""

    SERVER = "server"
    """A server, with the load generator on the other side."""

    CLIENT = "client"
    """A client, with the reference server on the other side."""


class Kind(Enum):
    """What a scenario's figure is."""

    RATE = "rate"
    """Messages, deliveries or handshakes a second, as a ratio to the reference: more is better."""

    MEMORY = "memory"
    """Bytes of private memory for each idle connection: less is better."""

    TIMER = "timer"
    """p99 of how late a 1 ms timer of the event loop is called, in milliseconds: less is better."""


@dataclass(frozen=True)
class Scenario:
    """One row of work.

    Attributes:
        name: what ``--scenarios`` calls it.
        title: what it is, for the report.
        load: arguments of the load generator or of the clients, without port, path and time.
        unit: what is counted.
        tls: whether the connections are encrypted.
        busy: whether a thread in the server process computes all the time.
        side: whether servers or clients are measured.
        reference: the server or client that rates are related to.
        targets: for each of ours, the least ratio, or the most bytes or milliseconds.
        most_user_cpu: for each of ours, the most microseconds of user code for each unit of work; no target if 0.
    """

    name: str
    title: str
    load: tuple[str, ...]
    kind: Kind = Kind.RATE
    unit: str = "message"
    tls: bool = False
    busy: bool = False
    side: Side = Side.SERVER
    reference: str = REFERENCE
    targets: Mapping[str, float] = field(default_factory=dict)
    most_user_cpu: float = 0.0

    @property
    def is_python_only(self) -> bool:
        """Whether the scenario is about the interpreter or the event loop."""
        return self.busy or self.kind is Kind.TIMER

    @property
    def connections(self) -> int:
        """How many connections the load generator opens."""
        return int(self.load[self.load.index("--connections") + 1])

    def is_missed(self, name: str, value: float) -> bool:
        """Whether ``value`` falls short of the target of one of ours."""
        target = self.targets.get(name)
        return target is not None and self.is_better(target, value)

    def is_better(self, one: float, other: float) -> bool:
        """Whether one score is better than the other."""
        return one > other if self.kind is Kind.RATE else one < other


def both(target: float) -> dict[str, float]:
    """One target for both styles of handler."""
    return styles(target, target)


def styles(callback: float, iterator: float) -> dict[str, float]:
    """A target for the callback style and one for the ``async for`` style."""
    return {"everwire": callback, "everwire-async": iterator}


def client(name: str, title: str, connections: int, **options: int) -> Scenario:
    """A scenario of clients: only the callback style has a target, since that is the style of the reference."""
    return Scenario(
        name,
        f"client, {title} (ratio to picows)",
        load("echo", connections, **options),
        side=Side.CLIENT,
        reference="picows",
        targets={"everwire": 1.0},
    )


def load(work: str, connections: int, **options: int) -> tuple[str, ...]:
    """Arguments of the load generator; an option of 1 that is not a number there is a flag."""
    words = [work, "--connections", str(connections)]
    for name, value in options.items():
        words += [f"--{name}"] if name in ("binary", "tls") else [f"--{name}", str(value)]
    return tuple(words)


KIB, MIB = 1024, 1024 * 1024

SCENARIOS = (
    Scenario("echo64", "echo 64 B, 100 connections", load("echo", 100, size=64), targets=styles(0.95, 0.9)),
    Scenario(
        "echo64x16",
        "echo 64 B, 100 connections, 16 in flight on each",
        load("echo", 100, size=64, depth=16),
        targets=styles(0.85, 0.7),
    ),
    Scenario("echo16k", "echo 16 KiB, 50 connections", load("echo", 50, size=16 * KIB), targets=both(0.9)),
    Scenario("echo1m", "echo 1 MiB, binary, 4 connections", load("echo", 4, size=MIB, binary=1), targets=both(0.85)),
    Scenario(
        "fan1000",
        "fan-out 64 B to 1,000 subscribers, 1 publish in flight",
        load("fanout", 1000, size=64),
        unit="delivery",
        targets=both(0.95),
    ),
    Scenario(
        "fan1000x16",
        "fan-out 64 B to 1,000 subscribers, 16 publishes in flight",
        load("fanout", 1000, size=64, depth=16),
        unit="delivery",
        targets=both(1.6),
    ),
    Scenario(
        "tls64",
        "echo 64 B through TLS, 100 connections",
        load("echo", 100, size=64, tls=1),
        tls=True,
        targets=both(0.85),
    ),
    Scenario(
        "handshake",
        "connect, upgrade, close; 32 at once",
        load("handshake", 32),
        unit="handshake",
        targets=both(0.95),
        most_user_cpu=20.0,
    ),
    Scenario(
        "busy64",
        "echo 64 B, 100 connections, beside one CPU-bound Python thread (ratio to picows)",
        load("echo", 100, size=64),
        busy=True,
        reference="picows",
        targets=both(2.0),
    ),
    Scenario(
        "timer",
        "p99 lateness of a 1 ms timer in the server, during fan1000x16",
        load("fanout", 1000, size=64, depth=16),
        kind=Kind.TIMER,
        targets=both(2.0),
    ),
    Scenario(
        "idle200",
        "memory of an idle connection, request head of 200 B",
        load("idle", 5000, head=200),
        kind=Kind.MEMORY,
        targets=both(2.5 * KIB + 200),
    ),
    Scenario(
        "idle1k",
        "memory of an idle connection, request head of 1 KiB",
        load("idle", 5000, head=KIB),
        kind=Kind.MEMORY,
        targets=both(2.5 * KIB + KIB),
    ),
    Scenario(
        "idletls",
        "memory of an idle connection through TLS, request head of 200 B",
        load("idle", 2000, head=200, tls=1),
        kind=Kind.MEMORY,
        tls=True,
        targets=both(24 * KIB + 200),
    ),
    client("client1", "echo 64 B, 1 connection", 1, size=64),
    client("client1x16", "echo 64 B, 1 connection, 16 in flight", 1, size=64, depth=16),
    client("client100", "echo 64 B, 100 connections", 100, size=64),
    client("client100x16", "echo 64 B, 100 connections, 16 in flight on each", 100, size=64, depth=16),
    client("client16k", "echo 16 KiB, 50 connections", 50, size=16 * KIB),
)
