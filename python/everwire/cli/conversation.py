"""A connection and a person: lines are sent, messages are shown, until one of the two ends it."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
from collections.abc import Coroutine
from typing import Any

from ..connection import Connection
from ..errors import ConnectionClosed, EverwireError
from . import slash
from .display import message
from .ending import Ending, close, ended
from .escaping import escaped
from .exit import Exit
from .prompt import Prompt
from .terminal import columns, show

__all__ = ["Conversation"]


class Conversation:
    """Carries lines from a prompt to a connection, and messages the other way."""

    def __init__(self, prompt: Prompt, *, has_times: bool) -> None:
        """Prepare.

        Args:
            prompt: where the person is.
            has_times: whether to show the time of every message.
        """
        self._prompt = prompt
        self._has_times = has_times
        self._pings: set[asyncio.Task[None]] = set()
        self._wanted = 1000

    async def run(self, connection: Connection) -> Exit:
        """Talk until the end, and close the connection, whatever happens.

        Raises:
            asyncio.CancelledError: it was cancelled; the connection is closed all the same.
            OSError: the terminal has gone; likewise.
        """
        showing = asyncio.ensure_future(self._prompt.show())
        receiving = asyncio.ensure_future(self._receive(connection))
        obeying = asyncio.ensure_future(self._obey_all(connection))
        asking = asyncio.ensure_future(self._prompt.ask())
        code = Exit.ENDED
        try:
            await asyncio.wait((receiving, asking, showing), return_when=asyncio.FIRST_COMPLETED)
            if asking.done():
                code = asking.result()
                if code is Exit.ENDED:
                    # What was typed is sent before the end.
                    sent = asyncio.ensure_future(self._prompt.lines.join())
                    await asyncio.wait((receiving, sent, showing), return_when=asyncio.FIRST_COMPLETED)
                    sent.cancel()
        finally:
            await _cancel(asking, receiving, obeying, *self._pings)
            closed = await (close(connection) if connection.close_code is None else ended(connection))
            shown = asyncio.ensure_future(self._prompt.flush())
            await asyncio.wait((shown, showing), return_when=asyncio.FIRST_COMPLETED)
            shown.cancel()
            if showing.done():
                showing.result()
            await _cancel(showing)
        ending = Ending(closed, self._wanted)
        show([("class:notice" if ending.exit is Exit.ENDED else "class:failure", ending.text)])
        return code or ending.exit

    async def _receive(self, connection: Connection) -> None:
        with contextlib.suppress(ConnectionClosed):  # how it ended is told when all is shown
            while True:
                await self._tell("received", await connection.recv())

    async def _obey_all(self, connection: Connection) -> None:
        while True:
            line = await self._prompt.lines.get()
            try:
                await self._obey(slash.parse(line), connection)
            except ConnectionClosed:
                return  # likewise
            except (EverwireError, OSError, ValueError) as error:
                await self._prompt.say([("class:failure", escaped(str(error)))])
            self._prompt.lines.task_done()

    async def _obey(self, command: slash.Command, connection: Connection) -> None:
        match command:
            case slash.SendText(data) | slash.SendBinary(data):
                await connection.send(data)
                await self._tell("sent", data)
            case slash.SendPing(every):
                await self._stop_pinging()
                if every != 0:
                    self._start(self._ping(connection) if every is None else self._ping_often(connection, every))
            case slash.SendClose(code, reason):
                self._wanted = code
                await connection.close(code, reason)
            case slash.ShowHelp():
                await self._prompt.say([("class:notice", slash.HELP)])

    async def _tell(self, direction: str, data: str | bytes) -> None:
        time = datetime.datetime.now().astimezone() if self._has_times else None
        await self._prompt.say(message(direction, data, columns(), time))

    # Pings wait for their pongs beside everything else

    def _start(self, pinging: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(pinging)
        self._pings.add(task)
        task.add_done_callback(self._pings.discard)

    async def _ping(self, connection: Connection) -> None:
        with contextlib.suppress(ConnectionClosed):
            pong = await connection.ping()
            await self._prompt.say([("class:notice", f"pong after {_milliseconds(await pong)}")])

    async def _ping_often(self, connection: Connection, every: float) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                pong = await connection.ping()
                self._prompt.put_aside(_milliseconds(await pong))
                await asyncio.sleep(every)

    async def _stop_pinging(self) -> None:
        await _cancel(*self._pings)
        self._prompt.put_aside("")


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.3g} ms"


async def _cancel(*tasks: asyncio.Future[Any]) -> None:
    for task in tasks:
        task.cancel()
    # How they end matters to nobody any more.
    await asyncio.gather(*tasks, return_exceptions=True)
