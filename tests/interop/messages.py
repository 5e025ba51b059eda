"""What is said in these tests: every form of a length, and texts whose characters are cut."""

from __future__ import annotations

import random
from collections.abc import Iterator

__all__ = ["BURST", "PIECES", "SIZES", "TEXT", "burst", "cut", "messages"]

SIZES = (0, 1, 125, 126, 127, 65535, 65536, 1024 * 1024)
"""Around each of the three forms of a payload's length (RFC 6455 §5.2), nothing, and the default limit itself."""

TEXT = "κόσμε, 𝄞 and plain letters; ½ a €"
"""Characters of one, two, three and four bytes."""

PIECES = (1, 2, 3, 5)
"""How long pieces are cut: each cuts some characters of TEXT apart."""

BURST = 10_000


def messages() -> Iterator[str | bytes]:
    """A text and a binary message of every size, and texts beyond ASCII of about these sizes."""
    for size in SIZES:
        yield "x" * size
        yield random.Random(size).randbytes(size)
        yield TEXT * (size // len(TEXT.encode()))


def burst() -> list[str]:
    """Many small messages, each another one."""
    return [f"{number} {TEXT[: number % len(TEXT)]}" for number in range(BURST)]


def cut(data: bytes, size: int) -> list[bytes]:
    """Data in pieces of a size, wherever that cuts."""
    return [data[start : start + size] for start in range(0, len(data), size)]
