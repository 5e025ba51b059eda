"""The limits of a server or connection. Defaults, units and reasons stand in the engine's one table."""

from __future__ import annotations

import dataclasses

__all__ = ["Limits"]

_KIB = 1024
_MIB = 1024 * _KIB


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """What one server, or one connection of a client, allows. ``docs/reference/limits.md`` gives the reasons.

    Attributes:
        connections: connections at once.
        connections_per_address: of them from one client address (IPv6: one /64).
        handshakes_per_second: opening handshakes a second from one client address; twice as many in a burst.
        hooks: hooks of opening handshakes that run at once.
        head: bytes of a request or response head.
        fields: fields in it.
        line: bytes of one line of it.
        message: bytes of a received message, after inflation.
        queue_messages: received messages that wait for the application; beyond it reading stops.
        queue_bytes: the same in bytes.
        write_high: bytes of queued output above which ``send()`` waits.
        output: bytes of queued output of those who do not wait; ``send()`` sends a larger message in parts.
        message_overhead: bytes that every queued message counts for beside its own.
        pings_per_second: pings of the peer that are answered; ten times as many in a burst.
        memory: bytes of buffers in the whole process.
        addresses: client addresses that are remembered.
    """

    connections: int = 100_000
    connections_per_address: int = 1_000
    handshakes_per_second: int = 100
    hooks: int = 10_000
    head: int = 16 * _KIB
    fields: int = 100
    line: int = 8 * _KIB
    message: int = _MIB
    queue_messages: int = 16
    queue_bytes: int = _MIB
    write_high: int = 64 * _KIB
    output: int = 16 * _MIB
    message_overhead: int = 64
    pings_per_second: int = 100
    memory: int = 1024 * _MIB
    addresses: int = 65_536

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 2**63:
                raise ValueError(f"limits.{name} must be a positive integer, not {value!r}")
