"""Lines that are commands: they begin with a slash."""

from __future__ import annotations

import dataclasses
import math

from ..errors import UsageError
from .input import read_bytes

__all__ = ["HELP", "Command", "SendBinary", "SendClose", "SendPing", "SendText", "ShowHelp", "parse"]

HELP = """\
/ping            measure the round trip
/ping 5          measure it every 5 seconds, shown at the right; /ping off ends that
/binary 48 69    send bytes; /binary @file sends those of a file
/close 4000 bye  close with a code and a reason; both may be left out
/help            show this
//text           send a text that begins with a slash
Up, Ctrl-R       lines of before, the last first; find one
Ctrl-D, Ctrl-C   close and end"""


@dataclasses.dataclass(frozen=True)
class SendText:
    """Send this text."""

    text: str


@dataclasses.dataclass(frozen=True)
class SendBinary:
    """Send these bytes."""

    data: bytes


@dataclasses.dataclass(frozen=True)
class SendPing:
    """Measure the round trip: once, every so many seconds, or (0) not any more."""

    every: float | None


@dataclasses.dataclass(frozen=True)
class SendClose:
    """Close with this code and reason."""

    code: int
    reason: str


@dataclasses.dataclass(frozen=True)
class ShowHelp:
    """Show what there is."""


Command = SendText | SendBinary | SendPing | SendClose | ShowHelp
"""What a line can ask for."""


def parse(line: str) -> Command:
    """What a line asks for.

    Raises:
        UsageError: a command that there is not, or that cannot be used like that.
        OSError: a file cannot be read.
    """
    if not line.startswith("/"):
        return SendText(line)
    if line.startswith("//"):
        return SendText(line[1:])
    name, _, rest = line.partition(" ")
    rest = rest.strip()
    match name:
        case "/ping":
            return SendPing(_interval(rest))
        case "/binary":
            return SendBinary(read_bytes(rest))
        case "/close":
            return _close(rest)
        case "/help":
            return ShowHelp()
    raise UsageError(f"there is no command {name}: /help lists them, /{line} sends this as a text")


def _interval(text: str) -> float | None:
    if not text:
        return None
    if text == "off":
        return 0.0
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0.1 <= seconds < math.inf:
        raise UsageError(f"/ping takes the seconds between pings, at least 0.1, or off; not {text!r}")
    return seconds


def _close(text: str) -> SendClose:
    code, _, reason = text.partition(" ")
    if not code:
        return SendClose(1000, "")
    if not (code.isascii() and code.isdigit() and 1000 <= int(code) <= 4999):
        raise UsageError(f"/close takes a code from 1000 to 4999 first; not {code!r}")
    return SendClose(int(code), reason.strip())
