"""``websockets.protocol``: the states of a connection."""

from ...connection import State

__all__ = ["CLOSED", "CLOSING", "CONNECTING", "OPEN", "State"]

CONNECTING, OPEN, CLOSING, CLOSED = State
