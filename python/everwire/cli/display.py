"""How a message looks on a terminal."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

from .escaping import pieces
from .highlight import highlighted
from .terminal import Fragments

__all__ = ["BINARY", "TEXT", "message"]

TEXT = 16 * 1024
"""How many characters of a text are shown."""
BINARY = 64
"""How many bytes of a binary message are shown."""

_ROW = 16
_INDENT = "  "
_MARKS = {"received": ("class:received", "< "), "sent": ("class:sent", "> ")}


def message(direction: str, data: str | bytes, width: int, time: datetime.datetime | None = None) -> Fragments:
    """A message with a mark of its direction; JSON laid out and colored, nothing in it controls the terminal.

    Lines after the first are indented, so that none of them can pass for another message.

    Args:
        direction: ``"received"`` or ``"sent"``.
        data: the message.
        width: columns of the terminal.
        time: when it passed, if that is to be shown.
    """
    fragments: Fragments = [] if time is None else [("class:faint", f"{time:%H:%M:%S.%f}"[:-3] + " ")]
    fragments.append(_MARKS[direction])
    fragments += _text(data, width - 2) if isinstance(data, str) else _binary(data)
    return fragments


def _text(text: str, width: int) -> Iterator[tuple[str, str]]:
    if not text:
        yield "class:faint", "empty text"
        return
    json = highlighted(text, width) if len(text) <= TEXT else None
    if json is not None:
        yield from _indented(json)
        return
    yield from _indented(
        [("class:escape" if is_escape else "", piece) for is_escape, piece in pieces(text[:TEXT].expandtabs())]
    )
    if len(text) > TEXT:
        yield "class:faint", f"… and {len(text) - TEXT:,} more characters"


def _binary(data: bytes) -> Iterator[tuple[str, str]]:
    yield "class:binary", f"binary, {len(data):,} byte{'' if len(data) == 1 else 's'}"
    shown = data[:BINARY]
    for start in range(0, len(shown), _ROW):
        row = shown[start : start + _ROW]
        # A short message fits behind its length.
        yield "", "  " if len(data) <= _ROW else f"\n{_INDENT}"
        yield "", row.hex(" ").ljust(0 if len(data) <= _ROW else 3 * _ROW - 1)
        yield "class:faint", f"  {''.join(chr(byte) if 0x20 <= byte < 0x7F else '.' for byte in row)}"
    if len(data) > BINARY:
        yield "class:faint", f"\n{_INDENT}… and {len(data) - BINARY:,} more bytes"


def _indented(fragments: Fragments) -> Fragments:
    return [(style, text.replace("\n", f"\n{_INDENT}")) for style, text in fragments]
