"""What every Python peer is told: the port as its first argument, the rest by the environment."""

import os
import ssl
import sys

HOST = "127.0.0.1"
BACKLOG = 4096
"""Connections that may wait to be accepted; the same for every peer."""

MESSAGE_LIMIT = 16 << 20
"""Bytes of the largest message; above every scenario's, so that no limit is part of a figure."""

CERTIFICATE = os.environ.get("BENCH_CERTIFICATE", "")
KEY = os.environ.get("BENCH_KEY", "")
"""PEM files; TLS is off without them."""

BUSY = bool(os.environ.get("BENCH_BUSY"))
"""Whether a thread competes for the interpreter all the time."""

TIMER = os.environ.get("BENCH_TIMER", "")
"""The file that the timer's lateness is appended to; there is no timer without it."""


def port() -> int:
    """The port to listen on."""
    return int(sys.argv[1])


def tls_context() -> ssl.SSLContext | None:
    """A server context for the certificate, or ``None`` when TLS is off."""
    if not CERTIFICATE:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE, KEY)
    return context
