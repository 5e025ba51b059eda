"""Where messages go without a prompt: to a program as they are, or to a person who looks on."""

from __future__ import annotations

import datetime
import os
import sys

from . import record
from .display import message
from .ending import Ending
from .sink import Sink
from .terminal import columns, show

__all__ = ["Output"]


class Output:
    """Standard output, for messages."""

    def __init__(self, *, is_json: bool, is_binary: bool, has_times: bool, is_verbose: bool) -> None:
        """Decide on a form.

        Args:
            is_json: a line of JSON for every message.
            is_binary: the bytes of messages and nothing else.
            has_times: the time before every message.
            is_verbose: with ``is_json``, what is sent and the end, too.
        """
        self._sink = Sink(sys.stdout.fileno())
        self._is_json = is_json
        self._is_binary = is_binary
        self._has_times = has_times
        self._tells_all = is_json and is_verbose
        self._is_terminal = os.isatty(sys.stdout.fileno())

    async def received(self, data: str | bytes) -> None:
        """Write a message that came, at the pace of who reads it.

        Raises:
            OSError: it cannot be written; :exc:`BrokenPipeError` if the reader has gone.
        """
        now = datetime.datetime.now().astimezone()
        if self._is_json:
            await self._sink.write(record.message_record("received", data, now))
        elif self._is_terminal:
            show(message("received", data, columns(), now if self._has_times else None))
        elif self._is_binary:
            await self._sink.write(record.raw(data))
        else:
            await self._sink.write(record.line(data, now if self._has_times else None))

    async def sent(self, data: str | bytes) -> None:
        """Write a message that was sent, if all is to be told.

        Raises:
            OSError: as :meth:`received`.
        """
        if self._tells_all:
            await self._sink.write(record.message_record("sent", data, datetime.datetime.now().astimezone()))

    async def ended(self, ending: Ending) -> None:
        """Write how it ended, if all is to be told.

        Raises:
            OSError: as :meth:`received`.
        """
        if self._tells_all:
            direction = "sent" if ending.is_ours else "received"
            await self._sink.write(record.close_record(direction, ending.close, datetime.datetime.now().astimezone()))

    async def wait_for_hangup(self) -> None:
        """Wait until nobody reads any more; without end if that cannot be told."""
        await self._sink.wait_for_hangup()
