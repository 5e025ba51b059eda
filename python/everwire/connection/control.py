"""What the floors above ask of a connection, and programs do not.

These are functions, not methods: a connection shows programs only what is for them, and they may set attributes of their own on it.
"""

from __future__ import annotations

import ssl

from .. import _core
from ..errors import ConnectionClosed
from .connection import Connection

__all__ = [
    "begin_closing",
    "ending",
    "has_room",
    "is_own",
    "ssl_object",
    "tls_session",
    "wait_for_ending",
    "wait_for_room",
]


def begin_closing(connection: Connection, code: int, reason: str) -> bool:
    """Begin the closing handshake, if the connection is open, and do not wait; code 1005 says none. Returns whether it did."""
    return connection._close(code, reason)


def ending(connection: Connection) -> ConnectionClosed:
    """How a closed connection ended: a fresh exception, because raising one changes it."""
    return connection._exception()


def has_room(connection: Connection) -> bool:
    """Whether a message can be sent now: output is below its high-water mark, and no other message is being sent in parts."""
    return not (connection._is_mid_message or connection._is_full())


async def wait_for_ending(connection: Connection) -> None:
    """Wait for the end as :meth:`Connection.wait_closed` does, on behalf of a program that may receive, now or later."""
    await connection._wait_for_ending()


async def wait_for_room(connection: Connection) -> None:
    """Wait until output is below its high-water mark.

    Raises:
        ConnectionClosed: the closing handshake has begun.
    """
    await connection._wait_for_room()


def is_own(connection: Connection, error: BaseException) -> bool:
    """Whether an exception tells the end of this very connection, and not of another one that its program uses, too."""
    return connection._is_own(error)


def ssl_object(connection: Connection) -> ssl.SSLObject | None:
    """What an :class:`ssl.SSLContext` made for the connection; ``None`` if TLS is in the engine, or there is none."""
    driver = connection._ssl_driver()
    return None if driver is None else driver.ssl_object


def tls_session(connection: Connection) -> _core.TLSSession | None:
    """What the two sides agreed on in TLS, if the engine does it."""
    return connection._tls()
