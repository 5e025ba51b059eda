"""A conversation: a line to type into, and above it what was said."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import functools
from collections.abc import Coroutine
from typing import Any

from prompt_toolkit import PromptSession
from prompt_toolkit.application import run_in_terminal

from ..connection import Connection
from ..errors import ConnectionClosed, EverwireError
from . import slash
from .display import message
from .ending import Ending, close, ended
from .escaping import escaped
from .exit import Exit
from .history import History
from .screen import columns, show
from .style import STYLE, Fragments, color_depth

__all__ = ["Prompt"]

WAITING = 256
"""How many lines wait for the terminal before nothing more is received."""


class Prompt:
    """Asks for lines, sends them, and shows what comes, until one of both sides ends it."""

    def __init__(self, connection: Connection, history: History, *, has_times: bool) -> None:
        """Prepare for a connection.

        Args:
            connection: whom to talk to.
            history: of lines.
            has_times: whether to show the time of every message.
        """
        self._connection = connection
        self._has_times = has_times
        self._waiting: asyncio.Queue[Fragments] = asyncio.Queue(WAITING)
        self._round_trip = ""
        self._pings: set[asyncio.Task[None]] = set()
        self._wanted = 1000
        self._session: PromptSession[str] = PromptSession(
            [("class:prompt", "> ")],
            history=history,
            enable_history_search=True,
            erase_when_done=True,
            style=STYLE,
            color_depth=color_depth(),
            rprompt=lambda: [("class:faint", self._round_trip)],
            interrupt_exception=_Interrupted,
            enable_suspend=True,
        )
        if history.trouble:
            self._waiting.put_nowait([("class:notice", f"History is not kept: {escaped(history.trouble)}")])

    async def run(self) -> Exit:
        """Talk until the end, and close the connection.

        Raises:
            asyncio.CancelledError: it was cancelled; the connection is closed all the same.
        """
        showing = asyncio.ensure_future(self._show())
        receiving = asyncio.ensure_future(self._receive())
        asking = asyncio.ensure_future(self._ask())
        code: Exit | None = None
        try:
            await asyncio.wait((receiving, asking), return_when=asyncio.FIRST_COMPLETED)
            if asking.done():
                code = asking.result()
        finally:
            await _cancel(asking, receiving, *self._pings)
            closed = await self._end()
            await self._waiting.join()
            await _cancel(showing)
        ending = Ending(closed, self._wanted)
        show([("class:notice" if ending.exit is Exit.ENDED else "class:failure", ending.text)])
        return ending.exit if code is None else code

    async def _ask(self) -> Exit | None:
        """Ask for lines; returns the exit code that they ask for, or ``None`` if it depends on the end."""
        while True:
            try:
                line = await self._session.prompt_async()
            except EOFError:
                return None
            except _Interrupted:
                return Exit.INTERRUPTED
            if not line:
                continue
            try:
                await self._obey(slash.parse(line))
            except ConnectionClosed:
                return None  # the end is shown when all that came before it was
            except (EverwireError, OSError, ValueError) as error:
                await self._say("class:failure", escaped(str(error)))
            if self._connection.close_code is not None:
                return None

    async def _obey(self, wish: slash.Text | slash.Binary | slash.Ping | slash.Close | slash.Help) -> None:
        match wish:
            case slash.Text(data) | slash.Binary(data):
                await self._connection.send(data)
                await self._tell("sent", data)
            case slash.Ping(every):
                await self._stop_pinging()
                if every != 0:
                    self._start(self._ping_once() if every is None else self._ping_often(every))
            case slash.Close(code, reason):
                self._wanted = code
                await self._connection.close(code, reason)
            case slash.Help():
                await self._say("class:notice", slash.HELP)

    async def _receive(self) -> None:
        with contextlib.suppress(ConnectionClosed):  # the end is shown by who waits for this
            while True:
                await self._tell("received", await self._connection.recv())

    async def _tell(self, direction: str, data: str | bytes) -> None:
        time = datetime.datetime.now().astimezone() if self._has_times else None
        await self._waiting.put(message(direction, data, columns(), time))

    async def _say(self, style: str, text: str) -> None:
        await self._waiting.put([(style, text)])

    async def _show(self) -> None:
        """Show what waits, above the line that is being typed; all at once, as drawing that line takes time."""
        while True:
            lines = [await self._waiting.get()]
            while not self._waiting.empty():
                lines.append(self._waiting.get_nowait())
            await run_in_terminal(functools.partial(_show_all, lines))
            for _ in lines:
                self._waiting.task_done()

    async def _ping_once(self) -> None:
        pong = await self._connection.ping()
        await self._say("class:notice", f"pong after {_milliseconds(await pong)}")

    async def _ping_often(self, every: float) -> None:
        """Keep the last round trip at the right edge."""
        while True:
            pong = await self._connection.ping()
            self._round_trip = "…"
            self._session.app.invalidate()
            self._round_trip = _milliseconds(await pong)
            self._session.app.invalidate()
            await asyncio.sleep(every)

    async def _stop_pinging(self) -> None:
        await _cancel(*self._pings)
        self._round_trip = ""

    def _start(self, pinging: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(pinging)
        self._pings.add(task)
        task.add_done_callback(self._pings.discard)

    async def _end(self) -> ConnectionClosed:
        if self._connection.close_code is not None:
            return await ended(self._connection)
        return await close(self._connection)


def _show_all(lines: list[Fragments]) -> None:
    for line in lines:
        show(line)


class _Interrupted(Exception):
    """Ctrl-C."""


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.3g} ms"


async def _cancel(*tasks: asyncio.Future[Any]) -> None:
    for task in tasks:
        task.cancel()
    # How they end matters to nobody any more.
    await asyncio.gather(*tasks, return_exceptions=True)
