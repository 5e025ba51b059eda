"""Text of others, made harmless: nothing that a peer says may control the terminal or hide what it says."""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["escaped", "escaped_json", "pieces", "shortened"]

# Control characters (C0 without tab and newline, DEL, C1), what turns the direction of writing around, what is invisible
# but joins nothing, separators of lines, and halves of characters. Joiners stay: scripts and emoji need them.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\ud800-\udfff\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_SHORT = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}


def pieces(text: str) -> Iterator[tuple[bool, str]]:
    """Cut a text into pieces that can be shown, each with whether it stands for a character that cannot.

    Tabs and newlines are kept.
    """
    end = 0
    for found in _UNSAFE.finditer(text):
        if found.start() > end:
            yield False, text[end : found.start()]
        yield True, _escape(found[0])
        end = found.end()
    if end < len(text):
        yield False, text[end:]


def escaped(text: str) -> str:
    """The text in one line, with escapes as Python writes them for all that cannot be shown."""
    return "".join(piece for _, piece in pieces(text)).replace("\t", "\\t").replace("\n", "\\n")


def escaped_json(text: str) -> str:
    """JSON text with the escapes of JSON; it means what it did."""
    return _UNSAFE.sub(lambda found: "".join(f"\\u{unit:04x}" for unit in _units(found[0])), text)


def shortened(text: str, limit: int) -> str:
    """At most this many characters, with a mark if there are more."""
    return text if len(text) <= limit else text[:limit] + "…"


def _escape(character: str) -> str:
    code = ord(character)
    if character in _SHORT:
        return _SHORT[character]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _units(character: str) -> list[int]:
    raw = character.encode("utf-16-be", "surrogatepass")
    return [int.from_bytes(raw[at : at + 2]) for at in range(0, len(raw), 2)]
