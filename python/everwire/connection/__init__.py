"""Connections of either side: messages in, messages out, one message to many, and the end."""

from .broadcast import broadcast
from .connection import BytesLike, Connection, Data, State
from .control import begin_closing, ending, has_room, is_own, ssl_object, tls_session, wait_for_ending, wait_for_room

__all__ = [
    "BytesLike",
    "Connection",
    "Data",
    "State",
    "begin_closing",
    "broadcast",
    "ending",
    "has_room",
    "is_own",
    "ssl_object",
    "tls_session",
    "wait_for_ending",
    "wait_for_room",
]
