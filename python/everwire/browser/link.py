"""The connection behind an object of this package, which the object need not outlive.

A link is tied to its owner by a weak reference, so that an owner whom nobody can hear any more may be collected; the connection
is then closed. An owner that must stay, because somebody listens, is held by :attr:`Link.kept`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import weakref
from typing import Any, Protocol

from ..client import ClientConnection, DialerOptions, HandshakeOptions, connect
from ..connection import State, ending
from ..errors import ConnectionClosed, HandshakeFailed, UsageError
from ..http import HeadersLike, hidden_subprotocols
from ..limits import Limits
from .outgoing import Outgoing

__all__ = ["Link", "LinkOptions", "Owner", "Wire", "running_loop"]

# The loop keeps only weak references to its tasks.
_tasks: set[asyncio.Task[None]] = set()


def running_loop(kind: str) -> asyncio.AbstractEventLoop:
    """The event loop that runs, for an object of this kind.

    Raises:
        UsageError: none does.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise UsageError(f"a {kind} needs a running event loop: make it in a coroutine, under asyncio.run()") from None


class LinkOptions(HandshakeOptions, DialerOptions, total=False):
    """What :func:`~everwire.connect` takes, but for what this package says itself."""

    additional_headers: HeadersLike | None
    sock: socket.socket | None
    open_timeout: float | None
    logger: logging.Logger | logging.LoggerAdapter[Any] | None


class Owner(Protocol):
    """Who is told what happens to a connection, each time in a callback of the event loop of its own."""

    def _on_open(self, wire: Wire) -> None:
        """The opening handshake succeeded."""

    def _on_failed(self, error: Exception) -> None:
        """It did not."""

    def _on_message(self, message: str | bytes) -> None:
        """A message came while the link was reading."""

    def _on_end(self, closed: ConnectionClosed) -> None:
        """The connection is closed, and what the link read of it was handed out."""


class Wire(ClientConnection):
    """A connection that tells its link when it is closed."""

    link: Link

    def _on_closed(self, ending: Any) -> None:
        super()._on_closed(ending)
        self.link._on_closed()


class Link:
    """One connection and its owner.

    Attributes:
        wire: the connection, once it is open.
        outgoing: its way out.
        kept: the owner, while it must not be collected.
        limit: bytes of output that may wait in memory.
        pending: messages that were read, but not handed out yet.
    """

    def __init__(
        self, owner: Owner, url: str, protocols: list[str], options: LinkOptions, loop: asyncio.AbstractEventLoop
    ) -> None:
        for name in ("subprotocols", "create_connection"):
            if name in options:
                raise UsageError(f"{name} is not for WebSocket objects" + (": use protocols" if "sub" in name else ""))
        self._loop = loop
        self._owner = weakref.ref(owner)
        self.kept: Owner | None = None
        self.wire: Wire | None = None
        self.outgoing: Outgoing | None = None
        self.limit = (options.get("limits") or Limits()).output
        self.pending = 0
        self._reading: asyncio.Task[None] | None = None
        self._has_ended = False
        # Browsers follow none (WebSockets §2.2).
        options.setdefault("max_redirects", 0)
        opening = connect(url, subprotocols=protocols or None, create_connection=self._make, **options)
        self._opening = self._spawn(self._open(opening, protocols))

    def _make(self, logger: logging.Logger | logging.LoggerAdapter[Any] | None = None) -> Wire:
        wire = Wire(logger)
        wire.link = self
        return wire

    # Commands

    def stop_opening(self) -> None:
        """Give the opening handshake up."""
        self._opening.cancel()

    def read(self) -> None:
        """Take messages as they come, and hand each to the owner."""
        if self._reading is None and not self._has_ended:
            self._reading = self._spawn(self._read())

    def stop_reading(self) -> None:
        """Leave messages to whoever receives from the connection. None is lost."""
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.cancel()

    def abandon(self) -> None:
        """Close: the owner is gone (WebSockets §7)."""
        if self.outgoing is None:
            self.stop_opening()
        else:
            self.outgoing.close(None, "")
            # The peer may have much to say before it says goodbye, and nobody is there to hear it.
            self.read()

    def abandon_soon(self) -> None:
        """The same from a destructor, which may run in any thread, at any time."""
        with contextlib.suppress(RuntimeError):  # The loop is closed, and its sockets with it.
            self._loop.call_soon_threadsafe(self.abandon)

    # What happens

    async def _open(self, opening: connect, protocols: list[str]) -> None:
        try:
            wire = await opening
            assert isinstance(wire, Wire)
            if protocols and wire.subprotocol is None:
                # A server may ignore the wish as far as RFC 6455 is concerned; browsers insist.
                wire.abort()
                raise HandshakeFailed(
                    f"the server agreed to none of the subprotocols {', '.join(hidden_subprotocols(protocols))}",
                    wire.response,
                )
        except Exception as error:
            owner = self._owner()
            if owner is not None:
                owner._on_failed(error)
        else:
            self.wire, self.outgoing = wire, Outgoing(wire, self.limit)
            owner = self._owner()
            if owner is None:
                self.abandon()
            else:
                owner._on_open(wire)
            if wire.state is State.CLOSED:
                self._loop.call_soon(self._end)

    async def _read(self) -> None:
        wire = self.wire
        assert wire is not None
        try:
            while True:
                # Taken from a queue of the engine that is bounded: reading stops when this loop does not turn.
                self._hand_out(await wire.recv())
        except ConnectionClosed:
            self._reading = None
            # Behind the messages that wait to be handed out.
            self._loop.call_soon(self._end)

    def _hand_out(self, message: str | bytes) -> None:
        owner = self._owner()
        if owner is not None:
            self.pending += 1
            self._loop.call_soon(self._deliver, owner, message)

    def _deliver(self, owner: Owner, message: str | bytes) -> None:
        try:
            owner._on_message(message)
        finally:
            self.pending -= 1

    def _on_closed(self) -> None:
        if self.wire is not None:
            self._loop.call_soon(self._end)

    def _end(self) -> None:
        # Whoever reads comes here once more when there is nothing left to read.
        if self._reading is not None or self._has_ended:
            return
        self._has_ended = True
        owner, self.kept = self._owner(), None
        if owner is not None and self.wire is not None:
            owner._on_end(ending(self.wire))

    def _spawn(self, work: Any) -> asyncio.Task[None]:
        # Not by the loop's factory: an eager task would begin within whatever call of the program led here.
        task: asyncio.Task[None] = asyncio.Task(work, loop=self._loop)
        _tasks.add(task)
        task.add_done_callback(_tasks.discard)
        return task
