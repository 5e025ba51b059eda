"""Connections of either side: messages in, messages out, one message to many, and the end."""

from .broadcast import broadcast
from .connection import BytesLike, Connection, Data, State

__all__ = [
    "BytesLike",
    "Connection",
    "Data",
    "State",
    "broadcast",
]
