"""``websockets.http11``: the two heads of the opening handshake."""

from ...client import USER_AGENT
from ...http import Request, Response
from ...server import SERVER

__all__ = ["SERVER", "USER_AGENT", "Request", "Response"]
