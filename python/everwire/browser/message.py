"""What can be sent: text, bytes-like objects, files."""

from __future__ import annotations

import asyncio
import inspect
import io
from collections.abc import AsyncIterator
from typing import Any, Protocol, TypeGuard

__all__ = ["PIECE", "File", "is_file", "payload", "pieces", "remaining", "scalar", "size_of"]

PIECE = 256 * 1024
"""Bytes, or characters, of a part of a large message: so much of it is copied at a time."""


class File(Protocol):
    """Something to read from: bytes make a binary message, ``str`` a text message. ``read`` may be a coroutine function."""

    def read(self, size: int, /) -> Any:
        """At most so many bytes or characters; none at the end."""


def payload(data: object) -> str | bytes | memoryview:
    """A message as it can be sent; text without lone surrogates, bytes as bytes, whatever their items were.

    Raises:
        TypeError: it is no message.
    """
    if isinstance(data, str):
        return scalar(data)
    if isinstance(data, bytes):
        return data
    try:
        view = memoryview(data)  # type: ignore[arg-type]
    except TypeError:
        kind = type(data).__name__
        raise TypeError(
            f"a message is str, bytes-like, or a file with read(), not {kind}: send str() or json of it"
        ) from None
    return view.cast("B") if view.c_contiguous else view.tobytes()


def scalar(text: str) -> str:
    """A text as UTF-8 can have it: surrogates in pairs are the character they mean, lone ones U+FFFD (Infra §4.6)."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def size_of(message: str | bytes | memoryview) -> int:
    """Bytes of a message's payload."""
    if isinstance(message, str):
        return len(message) if message.isascii() else len(message.encode())
    return message.nbytes if isinstance(message, memoryview) else len(message)


def is_file(data: object) -> TypeGuard[File]:
    """Whether something is read from."""
    return callable(getattr(data, "read", None))


def remaining(file: Any) -> int:
    """Bytes that are left in a file, as far as it tells without being read; else 0."""
    if not isinstance(file, io.IOBase | io.BytesIO) or isinstance(file, io.TextIOBase):
        return 0
    try:
        if not file.seekable():
            return 0
        here = file.tell()
        end = file.seek(0, io.SEEK_END)
        file.seek(here)
    except (OSError, ValueError):
        # It will say so again when it is read, where somebody is told.
        return 0
    return max(0, end - here)


async def pieces(source: Any, length: int) -> AsyncIterator[str | bytes | memoryview]:
    """A large message, or what a file holds, in parts of so many bytes or characters; a file is read in a thread."""
    if not is_file(source):
        for at in range(0, len(source), length):
            yield source[at : at + length]
        return
    is_in_memory = isinstance(source, io.BytesIO | io.StringIO)
    loop = asyncio.get_running_loop()
    while True:
        if is_in_memory:
            part = source.read(length)
        elif inspect.iscoroutinefunction(source.read):
            part = await source.read(length)
        else:
            part = await loop.run_in_executor(None, source.read, length)
        if not part:
            return
        yield payload(part)
