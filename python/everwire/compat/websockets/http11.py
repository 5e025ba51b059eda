"""``websockets.http11``: the two heads of the opening handshake."""

from ...dialer import USER_AGENT
from ...handshake import Request, Response
from ...serving import SERVER

__all__ = ["SERVER", "USER_AGENT", "Request", "Response"]
