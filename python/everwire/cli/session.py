"""One run of ``everwire connect``: a connection is opened, used and closed, and leaves an exit code."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from typing import Any

from ..client import ClientConnection
from ..errors import EverwireError, HandshakeFailed
from ..http import hidden_choice, hidden_url
from .conversation import Conversation
from .escaping import escaped
from .exit import Exit
from .failure import Failure
from .head import heads
from .history import History
from .notice import notice, plain
from .opening import Opening
from .pipe import Pipe
from .prompt import Prompt
from .terminal import show

__all__ = ["Session"]

# As shells count them: 128 and the number of the signal.
_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


class Session:
    """Opens a connection and hands it to a prompt, or to pipes."""

    def __init__(self, opening: Opening, pipe: Pipe | None, *, has_times: bool, is_verbose: bool) -> None:
        """Prepare.

        Args:
            opening: what to connect to.
            pipe: what to do with it; ``None`` for a prompt.
            has_times: whether a prompt shows times.
            is_verbose: whether to show the handshake.
        """
        self._opening = opening
        self._pipe = pipe
        self._has_times = has_times
        self._is_verbose = is_verbose
        self._connection: ClientConnection | None = None
        self._stopped_by: signal.Signals | None = None

    def run(self) -> int:
        """Do it all; returns the exit code."""
        try:
            return asyncio.run(self._run())
        except KeyboardInterrupt:
            return Exit.INTERRUPTED
        except asyncio.CancelledError:
            if self._stopped_by is None:
                raise
            return 128 + self._stopped_by

    async def _run(self) -> Exit:
        self._watch_signals()
        # What there is to say is said here.
        logging.getLogger("everwire").addHandler(logging.NullHandler())
        try:
            connection = await self._open()
        except (EverwireError, OSError, ValueError) as error:
            failure = Failure(error, self._opening)
            self._show_heads(error)
            notice(failure.text)
            for line in failure.body:
                plain(f"  {line}")
            return failure.exit
        self._show_heads(None)
        if self._pipe is not None:
            return await self._pipe.run(connection)
        return await self._converse(connection)

    async def _open(self) -> ClientConnection:
        endpoint = self._opening.endpoint
        where = escaped(hidden_url(endpoint.uri))
        note = f" ({endpoint.note})" if endpoint.note else ""
        self._say(f"Connecting to {where}{note}", is_news=bool(note))
        begin = time.perf_counter()
        connection = await self._opening.connect(self._create)
        chosen = hidden_choice(connection.subprotocol or "", self._opening.subprotocols)
        agreed = f", subprotocol {escaped(chosen)}" if chosen else ""
        self._say(
            f"Connected in {1000 * (time.perf_counter() - begin):.0f} ms{agreed}. /help lists commands, Ctrl-D ends."
        )
        return connection

    async def _converse(self, connection: ClientConnection) -> Exit:
        history = History()
        if history.trouble:
            self._say(f"History is not kept: {escaped(history.trouble)}")
        try:
            return await Conversation(Prompt(history), has_times=self._has_times).run(connection)
        except OSError as error:
            notice(f"cannot go on: {error}")
            return Exit.LOST

    def _create(self, *arguments: Any) -> ClientConnection:
        self._connection = ClientConnection(*arguments)
        return self._connection

    def _say(self, text: str, *, is_news: bool = False) -> None:
        """Say it to a person who looks on; to others only what they did not say themselves."""
        if self._pipe is None:
            show([("class:notice", text)])
        elif is_news or self._is_verbose:
            notice(text)

    def _show_heads(self, error: Exception | None) -> None:
        if not self._is_verbose or self._connection is None:
            return
        response = error.response if isinstance(error, HandshakeFailed) else self._connection.response
        for line in heads(self._connection, response, self._opening.subprotocols):
            plain(line)

    def _watch_signals(self) -> None:
        task = asyncio.current_task()
        assert task is not None

        def stop(number: signal.Signals) -> None:
            self._stopped_by = number
            task.cancel()

        for number in _SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, stop, number)
