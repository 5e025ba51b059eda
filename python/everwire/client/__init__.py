"""Connecting: ``connect()``, its connections, the ways to a server, redirects, and when to come back."""

from .backoff import Pace, backoff, retry_after
from .connect import USER_AGENT, ClientConnection, connect, unix_connect
from .failures import in_a_line
from .options import DialerOptions, HandshakeOptions
from .proxy import PROXY_SCHEMES, Proxy, parse_proxy, proxy_for
from .redirects import HandshakeRequest
from .verdicts import Verdict, note_worked_before, process_exception, verdict

__all__ = [
    "PROXY_SCHEMES",
    "USER_AGENT",
    "ClientConnection",
    "DialerOptions",
    "HandshakeOptions",
    "HandshakeRequest",
    "Pace",
    "Proxy",
    "Verdict",
    "backoff",
    "connect",
    "in_a_line",
    "note_worked_before",
    "parse_proxy",
    "process_exception",
    "proxy_for",
    "retry_after",
    "unix_connect",
    "verdict",
]
