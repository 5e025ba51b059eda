"""A WebSocket that stays while connections come and go."""

from ..client import Verdict, backoff, process_exception, verdict
from .status import LinkStatus
from .websocket import ReconnectingWebSocket

__all__ = [
    "LinkStatus",
    "ReconnectingWebSocket",
    "Verdict",
    "backoff",
    "process_exception",
    "verdict",
]
