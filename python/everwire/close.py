"""Close frames: code and reason (RFC 6455 §5.5.1, §7.4)."""

from __future__ import annotations

import dataclasses

__all__ = ["CODES", "Close"]

CODES: dict[int, str] = {
    1000: "OK",
    1001: "going away",
    1002: "protocol error",
    1003: "unsupported data",
    1005: "no status received",
    1006: "abnormal closure",
    1007: "invalid frame payload data",
    1008: "policy violation",
    1009: "message too big",
    1010: "mandatory extension",
    1011: "internal error",
    1012: "service restart",
    1013: "try again later",
    1014: "bad gateway",
    1015: "TLS handshake failure",
}
"""What the registered close codes mean, in a few words."""


@dataclasses.dataclass(frozen=True)
class Close:
    """What a close frame said; code 1005 stands for a frame without one."""

    code: int
    reason: str = ""

    def __str__(self) -> str:
        if self.code in CODES:
            meaning = CODES[self.code]
        elif 3000 <= self.code < 4000:
            meaning = "registered"
        elif 4000 <= self.code < 5000:
            meaning = "private use"
        else:
            meaning = "unknown"
        text = f"{self.code} ({meaning})"
        return f"{text} {self.reason}" if self.reason else text
