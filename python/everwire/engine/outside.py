"""Byte sources outside the core: an asyncio transport carries the bytes.

This is how any :class:`ssl.SSLContext` is served, through asyncio's own TLS: slower than a socket in the core, and fully
compatible.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from .. import _core

if TYPE_CHECKING:
    from ..connection import Connection

__all__ = ["Outside"]

Attach = Callable[["Outside", tuple[str, int] | None], "tuple[Connection, int]"]
"""Makes a connection of the engine for a driver and its peer; returns it and its number."""


class Outside(asyncio.Protocol):
    """Feeds what a transport received to the engine, and writes what the engine has to say."""

    def __init__(self, shard: _core.Shard, attach: Attach) -> None:
        self._shard = shard
        self._attach = attach
        self._transport: asyncio.Transport | None = None
        self._number: int | None = None
        self._ended = False

    # What the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        address = (peer[0], peer[1]) if isinstance(peer, tuple) and len(peer) >= 2 else None
        connection, self._number = self._attach(self, address)
        connection.transport = transport  # type: ignore[attr-defined]
        connection._local = transport.get_extra_info("sockname")

    def data_received(self, data: bytes) -> None:
        self._feed(data, False)

    def eof_received(self) -> None:
        self._feed(b"", True)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._feed(b"", True)

    def pause_writing(self) -> None:
        if self._number is not None:
            self._shard.set_blocked(self._number, True)

    def resume_writing(self) -> None:
        if self._number is not None:
            self._shard.set_blocked(self._number, False)

    def _feed(self, data: bytes, last: bool) -> None:
        if self._number is not None and not self._ended:
            self._ended = last
            self._shard.feed(self._number, data, last)

    # What the engine calls

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def write_eof(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def finish(self, is_clean: bool) -> None:
        self._ended = True
        if self._transport is None:
            return
        if is_clean:
            self._transport.close()
        else:
            # Whatever it could still write, the peer has had its time to read.
            self._transport.abort()

    def pause_reading(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
