"""A connection that a server accepted."""

from __future__ import annotations

import asyncio
import contextvars
import http
from typing import TYPE_CHECKING

from .. import _core
from ..connection import Connection, State
from ..http import Headers, Response, accept_key, plain_response

if TYPE_CHECKING:
    from .server import Server

__all__ = ["ServerConnection"]


class ServerConnection(Connection):
    """A connection that a :class:`Server` accepted.

    Attributes:
        server: who accepted it.
        username: who is at the other end, if :func:`~everwire.basic_auth` asked.
    """

    # Every connection has these: outside of a dictionary, which few then need, they take a tenth of the memory.
    __slots__ = ("_base_logger", "_context", "_extension", "server")

    username: str | None = None
    # What hooks and the handler of this connection share.
    _context: contextvars.Context

    def __init__(self, server: Server) -> None:
        self._base_logger = server.logger
        self.server: Server = server

    @property
    def response(self) -> Response | None:
        """The response of the opening handshake."""
        if self._parsed_response is None and self._state >= State.OPEN and self.request is not None:
            self._parsed_response = self._acceptance(self.subprotocol)
        return self._parsed_response

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that was agreed, if one was."""
        if self._parsed_response is None and self._state >= State.OPEN and self.request is not None:
            return self.server._hooks.choose(self.request.headers)
        return super().subprotocol

    def respond(self, status: http.HTTPStatus | int, text: str) -> Response:
        """Make a response with a text, to be returned by ``process_request``."""
        return plain_response(int(status), text)

    def _acceptance(self, subprotocol: str | None) -> Response:
        """The response that opens the connection, as the engine writes it."""
        assert self.request is not None
        headers = Headers([("Upgrade", "websocket"), ("Connection", "Upgrade")])
        headers["Sec-WebSocket-Accept"] = accept_key(self.request.headers.get("Sec-WebSocket-Key", ""))
        for name, value in (
            ("Sec-WebSocket-Protocol", subprotocol),
            ("Sec-WebSocket-Extensions", self._extension),
            ("Server", self.server._server_header),
        ):
            if value is not None:
                headers[name] = value
        return Response(101, "Switching Protocols", headers)

    # What the engine calls

    def _on_closed(self, ending: _core.Ending) -> None:
        super()._on_closed(ending)
        self.server._endpoint.closed(self)

    def _on_handled(self, task: asyncio.Task[None]) -> None:
        self.server._endpoint.handled(self, task)

    def _on_decided(self, task: asyncio.Task[None]) -> None:
        self.server._endpoint.decided(self, task)
