"""Real time for Python: WebSockets whose sockets live in Rust, with the asyncio API that Python programmers know."""

from ._core import __version__
from .authentication import basic_auth
from .broadcasting import broadcast
from .close import Close
from .compression import Deflate
from .connection import Connection, State
from .dialer import ClientConnection, connect, unix_connect
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
from .handshake import Request, Response
from .headers import Headers
from .limits import Limits
from .reconnecting import ReconnectingWebSocket
from .server import Server, ServerConnection
from .serving import serve, unix_serve
from .status import LinkStatus
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
