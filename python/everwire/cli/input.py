"""What is to be sent without a prompt: the messages of the command line, or standard input."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from ..connection import Connection
from ..errors import UsageError
from .source import Source

__all__ = ["Input", "read_bytes"]


class Input:
    """Messages to send, in order.

    Attributes:
        is_binary: whether they are binary: each of the command line's in hexadecimal or a file, standard input as one message.
        is_json: whether each has to be JSON.
    """

    def __init__(self, given: tuple[str, ...], *, is_binary: bool, is_json: bool) -> None:
        """Read the messages of the command line; without any, standard input will be read.

        Raises:
            UsageError: one of them is not what it has to be.
            OSError: a file cannot be read.
        """
        self.is_binary = is_binary
        self.is_json = is_json
        self._given: list[str | bytes] = []
        for text in given:
            if is_binary:
                self._given.append(read_bytes(text))
            else:
                self._check(text, f"the message {text!r}")
                self._given.append(text)

    async def send(self, connection: Connection, sent: Callable[[str | bytes], Awaitable[None]]) -> None:
        """Send all there is, as fast as the wire takes it.

        Args:
            connection: over which.
            sent: is called with each message once it is on its way; not with those that were too large to be kept.

        Raises:
            UsageError: a line is not what it has to be; those before it were sent.
            ConnectionClosed: the connection is closed.
        """
        if self._given or sys.stdin is None:
            for message in self._given:
                await connection.send(message)
                await sent(message)
        elif self.is_binary:
            # In parts (RFC 6455 §5.4), so that a file of any size can be sent.
            await connection.send(Source(sys.stdin.fileno()).chunks())
        else:
            async for line in self._lines():
                await connection.send(line)
                await sent(line)

    async def _lines(self) -> AsyncIterator[str]:
        number = 0
        async for line in Source(sys.stdin.fileno()).lines():
            number += 1
            try:
                text = line.decode()
            except UnicodeDecodeError:
                raise UsageError(f"line {number} of standard input is not UTF-8: --binary sends bytes") from None
            self._check(text, f"line {number} of standard input")
            yield text

    def _check(self, text: str, what: str) -> None:
        if self.is_json:
            try:
                json.loads(text)
            except (ValueError, RecursionError) as error:
                raise UsageError(f"{what} is not JSON: {error}") from None


def read_bytes(given: str) -> bytes:
    """Bytes from hexadecimal digits, or from the file that ``@file`` names.

    Raises:
        UsageError: it is neither.
        OSError: the file cannot be read.
    """
    if given.startswith("@"):
        return Path(os.path.expanduser(given[1:])).read_bytes()
    try:
        return bytes.fromhex(given)
    except ValueError:
        raise UsageError(f"{given!r} is not hexadecimal: write bytes like '48 69', or @file") from None
