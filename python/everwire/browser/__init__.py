"""The browser's API for Python: WebSockets and their streams under the names that pages know, on Everwire's engine.

Names are Python's (``ready_state``, ``on_message``); JavaScript's spellings (``readyState``, ``onmessage``) are aliases, for
whoever brings code from a page. What differs from browsers, and why, stands in ``docs/reference/browser.md``.
"""

from .abort import AbortController, AbortSignal
from .closing import CloseInfo, WebSocketError
from .duplex import OpenInfo
from .event import CloseEvent, ErrorEvent, Event, MessageEvent
from .readable import ReadableStream, ReadableStreamDefaultReader, ReadResult
from .stream import WebSocketStream
from .target import EventTarget
from .websocket import WebSocket
from .writable import WritableStream, WritableStreamDefaultWriter

__all__ = [
    "AbortController",
    "AbortSignal",
    "CloseEvent",
    "CloseInfo",
    "ErrorEvent",
    "Event",
    "EventTarget",
    "MessageEvent",
    "OpenInfo",
    "ReadResult",
    "ReadableStream",
    "ReadableStreamDefaultReader",
    "WebSocket",
    "WebSocketError",
    "WebSocketStream",
    "WritableStream",
    "WritableStreamDefaultWriter",
]
