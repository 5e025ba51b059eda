"""Close frames: code and reason (RFC 6455 §5.5.1, §7.4)."""

from __future__ import annotations

import dataclasses

__all__ = ["CODES", "Close", "explanation", "objection"]

CODES: dict[int, tuple[str, str]] = {
    1000: ("OK", "The purpose of the connection is fulfilled."),
    1001: ("going away", "The side that closed goes away: a server shuts down, or a page is left."),
    1002: ("protocol error", "The side that closed saw the other one break the rules of the protocol."),
    1003: ("unsupported data", "The side that closed got a message of a type that it does not accept, such as binary."),
    1005: ("no status received", "The connection was closed as planned, without a code."),
    1006: ("abnormal closure", "The connection was lost: it ended without a closing handshake."),
    1007: (
        "invalid frame payload data",
        "The side that closed got a text that is not UTF-8, or data that does not inflate.",
    ),
    1008: ("policy violation", "The side that closed got a message that its rules forbid; no other code fits."),
    1009: ("message too big", "The side that closed got a message larger than it accepts."),
    1010: ("mandatory extension", "The client needs an extension that the server did not agree to."),
    1011: ("internal error", "Something unexpected failed on the side that closed."),
    1012: ("service restart", "The server restarts; connect again in a while."),
    1013: ("try again later", "The server is overloaded; connect again later."),
    1014: ("bad gateway", "A gateway got an invalid answer from the server behind it."),
    1015: ("TLS handshake failure", "TLS failed, for example because the certificate could not be verified."),
}
"""What the registered close codes mean (RFC 6455 §7.4.1 and IANA's registry): in a few words, and in a sentence."""


@dataclasses.dataclass(frozen=True)
class Close:
    """What a close frame said; code 1005 stands for a frame without one."""

    code: int
    reason: str = ""

    def __str__(self) -> str:
        if self.code in CODES:
            meaning, _ = CODES[self.code]
        elif 3000 <= self.code < 4000:
            meaning = "registered"
        elif 4000 <= self.code < 5000:
            meaning = "private use"
        else:
            meaning = "unknown"
        text = f"{self.code} ({meaning})"
        return f"{text} {self.reason}" if self.reason else text


def objection(code: int, reason: str) -> str | None:
    """What speaks against a close frame with this code and reason, if anything does (RFC 6455 §5.5, §7.4)."""
    if not (1000 <= code <= 1014 or 3000 <= code <= 4999) or code in (1004, 1005, 1006):
        return f"{code} is not a close code to send: use 1000 to 1014 (but 1004, 1005, 1006) or 3000 to 4999"
    if len(reason.encode()) > 123:
        return "a close reason has at most 123 bytes in UTF-8"
    return None


def explanation(code: int) -> str:
    """What a close code says, in a sentence for people (RFC 6455 §7.4)."""
    if code in CODES:
        return CODES[code][1]
    if 3000 <= code < 4000:
        return "A library or framework registered this code with IANA; its documentation says what it means."
    if 4000 <= code < 5000:
        return "The application itself chose this code; its documentation says what it means."
    return "No such code is defined (RFC 6455 section 7.4)."
