"""Real time for Python: WebSockets whose sockets live in Rust, with the asyncio API that Python programmers know."""

from ._core import __version__
from .client import ClientConnection, connect, unix_connect
from .close import Close
from .compression import Deflate
from .connection import Connection, State, broadcast
from .errors import (
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    EverwireError,
    HandshakeFailed,
    LimitExceeded,
    ProtocolError,
    UsageError,
)
from .http import Headers, Request, Response
from .limits import Limits
from .reconnect import LinkStatus, ReconnectingWebSocket
from .server import Server, ServerConnection, basic_auth, serve, unix_serve
from .tls import TLS

__all__ = [
    "TLS",
    "ClientConnection",
    "Close",
    "Connection",
    "ConnectionClosed",
    "ConnectionClosedError",
    "ConnectionClosedOK",
    "Deflate",
    "EverwireError",
    "HandshakeFailed",
    "Headers",
    "LimitExceeded",
    "Limits",
    "LinkStatus",
    "ProtocolError",
    "ReconnectingWebSocket",
    "Request",
    "Response",
    "Server",
    "ServerConnection",
    "State",
    "UsageError",
    "__version__",
    "basic_auth",
    "broadcast",
    "connect",
    "serve",
    "unix_connect",
    "unix_serve",
]
