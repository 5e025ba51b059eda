"""The orderly end of a server: spread over time, with a bound for everything that is waited for.

All of it happens in callbacks of the event loop, and none in a task. A program that ends cancels every task there is; if one of
them had to close the server, whoever waits for the server would wait for ever.

What is waited for, and for how long:

- a connection: for ``close_timeout``, which the engine keeps; one that is still there a moment later is cut;
- a hook of an opening handshake: it is cancelled at once, because its client was told 503;
- a handler: for ``handler_timeout`` after its connection has ended; then it is cancelled;
- a hook or handler that was cancelled: for :data:`CLEANUP`; one that does not heed it is named in the log, and left behind.
"""

from __future__ import annotations

import asyncio
import functools
import operator
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

from ..connection import State

if TYPE_CHECKING:
    from .connection import ServerConnection
    from .server import Server

__all__ = ["HANDLER_TIMEOUT", "Shutdown"]

HANDLER_TIMEOUT = 10.0
"""Seconds that a handler has to return once its connection has ended: as long as the closing handshake may take."""

CLEANUP = 2.0
"""Seconds that a hook or handler which was cancelled has to clean up."""

MARGIN = 1.0
"""Seconds after ``close_timeout`` in which the engine itself ends a connection, and knows better than we why."""

BUDGET = 0.001
"""Seconds of closing or cancelling before other work of the event loop has its turn: as long as a turn of the engine."""

SLICE = 50
"""Connections or tasks at a time at most: each causes more work, in the loop's next iteration, than it is here."""

NEARLY = 0.1
"""Seconds within which deadlines count as one, so that whoever came together is named together."""

NAMES = 10
"""How many connections a line of the log names."""

T = TypeVar("T")

_CANCEL = operator.methodcaller("cancel")
_ABORT = operator.methodcaller("abort")


class Shutdown:
    """Closes a server, from its making on.

    Args:
        server: which has stopped to accept, and tells when a connection, hook or handler has ended.
        farewell: what open connections are closed with; ``None`` lets them go on until they end by themselves.
        close_timeout: seconds that they have for it; ``None`` for any time.
        handler_timeout: seconds that a handler has after the end of its connection; ``None`` for any time.
    """

    def __init__(
        self,
        server: Server,
        farewell: tuple[int, str] | None,
        close_timeout: float | None,
        handler_timeout: float | None,
    ) -> None:
        self._server = server
        self._loop = server.loop
        self._close_timeout = close_timeout
        self._handlers = _Deadlines(self._loop, handler_timeout, self._cancel)
        self._cleanups = _Deadlines(self._loop, CLEANUP, self._leave_behind)
        self._farewell = farewell
        self._cut: asyncio.TimerHandle | None = None
        self._has_begun = False
        self._loop.call_soon(self._begin)

    def connection_closed(self, connection: ServerConnection) -> None:
        """Note that a connection has ended."""
        if connection in self._server.handlers:
            self._handlers.add(connection)
        self.settle()

    def settle(self) -> None:
        """Say that the server is closed, if nothing is left to wait for."""
        server = self._server
        if not self._has_begun or server._connections or server.handlers or server._deciding or server._closed.done():
            return
        self._handlers.stop()
        self._cleanups.stop()
        if self._cut is not None:
            self._cut.cancel()
        server._closed.set_result(None)
        server.logger.info("server closed")

    def _begin(self) -> None:
        server = self._server
        try:
            server.logger.info("server closing")
            server._stop_serving()
        finally:
            for connection in server._deciding:
                self._cleanups.add(connection)
            self._spread(server._deciding, server._endpoint.cancel_hook)
            for connection in server.handlers:
                if connection._state == State.CLOSED:
                    self._handlers.add(connection)
            if self._farewell is not None:
                self._spread(server._connections, functools.partial(_close, farewell=self._farewell), self._closed_all)
            # What the engine has accepted in this very turn becomes a connection first.
            self._loop.call_soon(self._end_of_beginning)

    def _end_of_beginning(self) -> None:
        self._has_begun = True
        self.settle()

    def _closed_all(self) -> None:
        if self._close_timeout is not None and not self._server._closed.done():
            self._cut = self._loop.call_later(self._close_timeout + MARGIN, self._cut_rest)

    def _cut_rest(self) -> None:
        rest = self._server._connections
        if rest:
            self._server.logger.warning("%d connections did not end within close_timeout and are cut", len(rest))
            self._spread(rest, _ABORT)

    def _cancel(self, connections: list[ServerConnection]) -> None:
        handlers = self._server.handlers
        late = [connection for connection in connections if connection in handlers]
        if late:
            self._server.logger.warning(
                "%d connection handlers that went on after their connection had ended are cancelled: %s",
                len(late),
                _names(late),
            )
        for connection in late:
            self._cleanups.add(connection)
        self._spread([handlers[connection] for connection in late], _CANCEL)

    def _leave_behind(self, connections: list[ServerConnection]) -> None:
        server = self._server
        stubborn = [it for it in connections if it in server.handlers or it in server._deciding]
        if stubborn:
            server.logger.error(
                "%d hooks or connection handlers that did not heed their cancellation are left behind: %s",
                len(stubborn),
                _names(stubborn),
            )
        for connection in stubborn:
            server.handlers.pop(connection, None)
            server._deciding.pop(connection, None)
        self.settle()

    def _spread(self, things: Iterable[T], act: Callable[[T], object], then: Callable[[], None] | None = None) -> None:
        """Do something with each of many things, a few at a time, whatever that raises."""
        waiting = deque(things)

        def go_on() -> None:
            until = time.perf_counter() + BUDGET
            try:
                for _ in range(min(SLICE, len(waiting))):
                    act(waiting.popleft())
                    if time.perf_counter() >= until:
                        break
            finally:
                if waiting:
                    self._loop.call_soon(go_on)
                elif then is not None:
                    then()

        self._loop.call_soon(go_on)


class _Deadlines:
    """Connections that have equally long, each from when it was added.

    Args:
        loop: whose clock counts.
        time: seconds; ``None`` for any time.
        passed: is called with those whose time has passed.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        time: float | None,
        passed: Callable[[list[ServerConnection]], None],
    ) -> None:
        self._loop = loop
        self._time = time
        self._passed = passed
        self._waiting: deque[tuple[float, ServerConnection]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, connection: ServerConnection) -> None:
        """Count from now."""
        if self._time is not None:
            self._waiting.append((self._loop.time() + self._time, connection))
            self._arm()

    def stop(self) -> None:
        """Forget them."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self) -> None:
        if self._timer is None and self._waiting:
            self._timer = self._loop.call_at(self._waiting[0][0], self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        until = self._loop.time() + NEARLY
        passed = []
        while self._waiting and self._waiting[0][0] <= until:
            passed.append(self._waiting.popleft()[1])
        self._arm()
        self._passed(passed)


def _close(connection: ServerConnection, farewell: tuple[int, str]) -> None:
    if connection._state <= State.OPEN:
        connection._close(*farewell)


def _names(connections: list[ServerConnection]) -> str:
    names = ", ".join(str(connection.id) for connection in connections[:NAMES])
    more = len(connections) - NAMES
    return f"{names} and {more} more" if more > 0 else names
