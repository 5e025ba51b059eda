"""The task behind a link that comes back: it makes a connection, holds it until it is lost, parts from it, decides, waits.

One task does all of it in turn, so there are never two connections at once. What it waits for runs as a step, a task of its own,
which ``close()`` and ``reconnect()`` cancel; what to do then stands in ``_closing`` and ``_again``, and is looked at after each.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Any, Protocol

from ..client import (
    ClientConnection,
    Pace,
    Verdict,
    in_a_line,
    note_worked_before,
    process_exception,
    retry_after,
    verdict,
)
from ..close import Close
from ..connection import ending, is_own, wait_for_ending
from ..errors import ConnectionClosed, ConnectionClosedError, ConnectionClosedOK, UsageError
from .connector import Connector
from .status import CurrentStatus, LinkState, LinkStatus

__all__ = ["OnOpen", "ProcessException", "Supervisor"]

PARTING = 1.0
"""Seconds that a connection which is to be replaced has for its closing handshake: it may well be dead."""

PROBE = 5.0
"""Seconds that a connection has to answer a ping when the network may have changed: heartbeats would find out much later."""

OnOpen = Callable[[ClientConnection], Awaitable[object] | object]
"""What is called with each new connection before it counts as open."""
ProcessException = Callable[[Exception], Exception | None]
"""What tells whether an error is final."""


class Delegate(Protocol):
    """Whose link it is; what it is told."""

    _is_receiving: bool
    """Whether somebody waits for a message."""

    def _changed(self, status: LinkStatus) -> None:
        """Called with each new status, before whoever watches sees it."""

    def _adopt(self, connection: ClientConnection) -> None:
        """There is a connection."""

    async def _flush(self, connection: ClientConnection) -> None:
        """Send what waits for a connection; ends early if the connection does."""

    def _ended(self, why: Exception) -> None:
        """There will be no connection any more."""


class Supervisor:
    """Keeps a link up.

    Args:
        delegate: whose link it is.
        connector: makes a connection.
        pace: how long to wait.
        process_exception: tells whether an error is final.
        on_open: is called with each new connection.
        open_timeout: seconds for one attempt.
        logger: where to log.

    Attributes:
        status: the status that holds now.
        connection: the open connection, if there is one.
    """

    def __init__(
        self,
        delegate: Delegate,
        connector: Connector,
        pace: Pace,
        process_exception: ProcessException,
        on_open: OnOpen | None,
        open_timeout: float | None,
        logger: logging.Logger | logging.LoggerAdapter[Any],
    ) -> None:
        self._delegate = delegate
        self._connector = connector
        self._pace = pace
        self._process_exception = process_exception
        self._on_open = on_open
        self._open_timeout = open_timeout
        self._logger = logger
        self._attempts = 0
        self._worked_before = False
        self.status = CurrentStatus()
        self.connection: ClientConnection | None = None
        # The connection that there is, whether on_open has seen it or not; and how the last one ended.
        self._current: ClientConnection | None = None
        self._last: ConnectionClosed | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._step: asyncio.Task[None] | None = None
        self._probe: asyncio.Task[None] | None = None
        self._again = False
        self._closing: Close | None = None
        self._why: tuple[Exception, TracebackType | None] | None = None

    @property
    def state(self) -> LinkState:
        """The state of the link."""
        return self.status.now.state

    def start(self) -> None:
        """Begin."""
        self._loop = asyncio.get_running_loop()
        self._begin()
        self._task = self._loop.create_task(self._run())

    def check_started(self) -> None:
        """Refuse what does not belong here.

        Raises:
            UsageError: it is not started yet, or this is not its event loop.
        """
        if self.state == "new":
            raise UsageError("start() it first, or use async with")
        # As asyncio's own objects find out: it costs less than an exception.
        if self._loop is not None and asyncio._get_running_loop() is not self._loop:
            raise UsageError("this is not its event loop: from another thread use loop.call_soon_threadsafe")

    def reconnect(self) -> None:
        """Connect now, with a new connection."""
        self._pace.reset()
        self._again = True
        if self.connection is not None:
            self.connection = None
            self._note("waiting", delay=0.0)
        self._interrupt()

    def probe(self) -> None:
        """Find out whether the open connection still lives, and replace it if not."""
        if self.connection is not None and self._probe is None:
            self._probe = asyncio.get_running_loop().create_task(self._ping(self.connection))

    def close(self, close: Close) -> None:
        """End it; ``closed`` will be the state soon."""
        if self.state == "new":
            self._closing = close
            self._finish(None)
        elif self._closing is None and self.state != "closed":
            self._closing = close
            self.connection = None
            self._note("closing")
            self._interrupt()

    def end(self) -> Exception:
        """Why there will be no connection any more."""
        if self._why is not None:
            why, traceback = self._why
            # Raising it would make its traceback longer each time.
            return why.with_traceback(traceback)
        last = self._last or ConnectionClosedError(None, None)
        kind = ConnectionClosedError if self._closing is None else ConnectionClosedOK
        return kind(last.rcvd, last.sent, last.rcvd_then_sent)

    async def _run(self) -> None:
        why: Exception | None = None
        try:
            why = await self._stay()
        except Exception as error:
            why = error
        except BaseException:  # the loop shuts down, and cancels everything
            if self._current is not None:
                self._current.abort()
            raise
        finally:
            self._finish(why)

    async def _stay(self) -> Exception | None:
        """Stay connected; returns why not any more, ``None`` after ``close()``."""
        while True:
            self._again = False
            error = await self._do(self._attempt())
            connection = self._current
            if connection is not None:
                if error is None and not self._is_interrupted:
                    self._open(connection)
                    error = await self._do(self._hold(connection))
                self.connection = None
                await self._part(connection, failed=error is not None)
                error = error or self._last
            if not self._is_interrupted and error is not None:
                delay = self._delay(error)
                if isinstance(delay, Exception):
                    return delay
                self._logger.info("%s; reconnecting in %.1f seconds", in_a_line(error), delay)
                self._note("waiting", delay=delay, error=error)
                await self._do(asyncio.sleep(delay))
            if self._closing is not None:
                return None
            self._begin()

    def _begin(self) -> None:
        self._attempts += 1
        self._note("connecting", error=self.status.now.error)

    async def _attempt(self) -> None:
        deadline = asyncio.timeout(self._open_timeout)
        try:
            async with deadline:
                self._current = connection = await self._connector.connect()
                if self._on_open is not None:
                    answer = self._on_open(connection)
                    if inspect.isawaitable(answer):
                        await answer
        except ConnectionClosed as error:
            if self._current is not None and is_own(self._current, error):
                raise
            # Its codes say nothing about this link: like any other network, the way to it may be there again.
            raise ConnectionError(f"another connection that was asked has ended: {error}") from error
        except TimeoutError as error:
            if not deadline.expired():
                raise
            raise TimeoutError(f"the attempt took longer than open_timeout, {self._open_timeout} seconds") from error

    def _open(self, connection: ClientConnection) -> None:
        self._pace.opened(asyncio.get_running_loop().time())
        self._worked_before = True
        self.connection = connection
        self._delegate._adopt(connection)
        self._note("open")
        self._attempts = 0

    async def _hold(self, connection: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            await self._delegate._flush(connection)
        await wait_for_ending(connection)

    async def _ping(self, connection: ClientConnection) -> None:
        try:
            async with asyncio.timeout(PROBE):
                await (await connection.ping())
        except TimeoutError:
            # Who does not receive leaves the pong unread behind messages: then only heartbeats can judge.
            if self.connection is connection and self._delegate._is_receiving:
                self.reconnect()
        except ConnectionClosed:
            pass  # the supervisor is on it
        finally:
            self._probe = None

    async def _part(self, connection: ClientConnection, *, failed: bool) -> None:
        """Leave a connection, if it is not gone already."""
        last = self._closing or Close(1011 if failed else 1000)
        try:
            async with asyncio.timeout(PARTING if self._closing is None else None):
                await connection.close(last.code, last.reason)
        except TimeoutError:
            connection.abort()
        await wait_for_ending(connection)
        self._current, self._last = None, ending(connection)

    async def _do(self, step: Coroutine[Any, Any, None]) -> Exception | None:
        """Run one step, which ``close()`` and ``reconnect()`` can end; returns what it failed with."""
        self._step = task = asyncio.get_running_loop().create_task(step)
        if self._is_interrupted:
            task.cancel()
        try:
            await asyncio.wait({task})
        except BaseException:
            task.cancel()
            raise
        finally:
            self._step = None
        if not task.cancelled():
            error = task.exception()
            if error is None or isinstance(error, Exception):
                return error
            raise error
        if self._is_interrupted:
            return None
        return UsageError("the attempt was cancelled from within, by on_open or by a function that was asked")

    @property
    def _is_interrupted(self) -> bool:
        return self._again or self._closing is not None

    def _interrupt(self) -> None:
        if self._step is not None:
            self._step.cancel()

    def _delay(self, error: Exception) -> float | Exception:
        """How long to wait after an error, or what it ends with."""
        now = asyncio.get_running_loop().time()
        note_worked_before(
            error, self._pace.is_healthy(now) if isinstance(error, ConnectionClosed) else self._worked_before
        )
        judgement = verdict(error)
        try:
            final = self._process_exception(error)
        except Exception as raised:  # an easy mistake, and clear enough
            final = raised
        if final is not None:
            if final is not error:
                final.__cause__ = error
            return final
        by_default = self._process_exception is process_exception
        brings_another = self._connector.is_dynamic or self._on_open is not None
        if judgement is Verdict.TOKEN and by_default and not brings_another:
            return error  # the same token would be refused again
        delay = self._pace.delay(
            now,
            at_least=retry_after(error, time.time()),
            at_once=judgement in (Verdict.NOW, Verdict.TOKEN),
        )
        return error if delay is None else delay

    def _finish(self, why: Exception | None) -> None:
        if why is not None and self._closing is None:
            self._why = why, why.__traceback__
        self.connection = None
        if self._probe is not None:
            self._probe.cancel()
        self._note("closed", error=why)
        self._delegate._ended(self.end())

    def _note(self, state: LinkState, *, delay: float | None = None, error: Exception | None = None) -> None:
        status = LinkStatus(state, self._attempts, delay, error)
        self.status.set(status)
        self._delegate._changed(status)
