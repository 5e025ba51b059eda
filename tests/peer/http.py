"""Heads of HTTP messages, read the plain way."""

from __future__ import annotations

import asyncio

__all__ = ["Head", "read_head"]


class Head:
    """A start line and fields."""

    def __init__(self, data: bytes) -> None:
        self.start, *lines = data.decode("latin-1").rstrip("\r\n").split("\r\n")
        self.fields = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]

    @property
    def status(self) -> int:
        """The status of a response."""
        return int(self.start.split(" ")[1])

    def __getitem__(self, name: str) -> str:
        (value,) = self.all(name)
        return value

    def __contains__(self, name: object) -> bool:
        return any(known == name for known, _ in self.fields)

    def all(self, name: str) -> list[str]:
        """The values of every field of that name."""
        return [value for known, value in self.fields if known == name.lower()]

    def __repr__(self) -> str:
        return f"Head({self.start!r}, {self.fields!r})"


async def read_head(reader: asyncio.StreamReader) -> Head:
    """Read one head off a stream."""
    return Head(await reader.readuntil(b"\r\n\r\n"))
