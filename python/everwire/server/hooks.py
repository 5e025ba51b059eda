"""The opening handshake as a program decides it: its hooks, origins by expressions, the choice of a subprotocol."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import HandshakeFailed
from ..http import MultipleValuesError, Origins, Request, Response, plain_response

if TYPE_CHECKING:
    from .. import _core
    from ..http import Headers
    from .connection import ServerConnection

__all__ = ["CLOSING", "FAILED", "Hooks", "ProcessRequest", "ProcessResponse", "SelectSubprotocol"]

ProcessRequest = Callable[["ServerConnection", Request], Awaitable[Response | None] | Response | None]
ProcessResponse = Callable[["ServerConnection", Request, Response], Awaitable[Response | None] | Response | None]
SelectSubprotocol = Callable[["ServerConnection", Sequence[str]], str | None]

FAILED = "Failed to open a WebSocket connection.\nSee server log for more information.\n"
"""What a client hears when a hook fails; the rest is not for strangers."""
CLOSING = "The server is shutting down.\n"
"""What a client hears that comes too late."""


@dataclasses.dataclass(frozen=True)
class Hooks:
    """What a program has to say in the opening handshakes of a server; the fields are arguments of :func:`~everwire.serve`."""

    process_request: ProcessRequest | None
    process_response: ProcessResponse | None
    select_subprotocol: SelectSubprotocol | None
    origins: Origins
    subprotocols: Sequence[str]

    @property
    def ask(self) -> bool:
        """Whether there is anything to decide here: the engine does the rest by itself."""
        return bool(self.process_request or self.process_response or self.select_subprotocol or self.origins.patterns)

    def too_many(self, limit: int) -> Response:
        """What a client hears while others are still being decided about."""
        response = plain_response(
            503, f"no more than limits.hooks ({limit}) handshakes are decided at once: try again later\n"
        )
        response.headers["Retry-After"] = "5"
        return response

    def choose(self, headers: Headers) -> str | None:
        """The first of our subprotocols that a client offers: as the engine chooses."""
        if not self.subprotocols:
            return None
        offered = {name.strip() for value in headers.get_all("Sec-WebSocket-Protocol") for name in value.split(",")}
        return next((name for name in self.subprotocols if name in offered), None)

    async def decide(
        self,
        connection: ServerConnection,
        shard: _core.Shard,
        answer: Callable[[ServerConnection, Response, str | None], None],
    ) -> None:
        """Ask about a request, and answer it, whatever happens; but not if the client has gone.

        Args:
            connection: whose request waits.
            shard: judges it by the rules of the protocol.
            answer: takes the response, and the subprotocol if it opens the connection.
        """
        hook = "process_request"
        try:
            request = connection.request
            if request is None:
                return
            response = None
            if self.process_request is not None:
                response = await _maybe(self.process_request(connection, request))
            if response is not None and not isinstance(response, Response):
                raise TypeError(f"process_request returned {type(response).__name__}: expected Response or None")
            subprotocol = None
            if response is None:
                hook = "select_subprotocol"
                response, subprotocol = self._judge(connection, request, shard)
            if response is None:
                return
            if self.process_response is not None:
                hook = "process_response"
                connection._parsed_response = response
                changed = await _maybe(self.process_response(connection, request, response))
                response = response if changed is None else changed
            answer(connection, response, subprotocol)
        except Exception as error:
            if (response := _refusal(error, connection)) is None:
                connection.logger.exception("%s failed", hook)
                response = plain_response(500, FAILED)
            answer(connection, response, None)
        except GeneratorExit:
            # The loop went away with this task, and with the connection.
            raise
        except BaseException:
            answer(connection, plain_response(503, CLOSING), None)
            raise

    def _judge(
        self, connection: ServerConnection, request: Request, shard: _core.Shard
    ) -> tuple[Response | None, str | None]:
        judgement = shard.judge(connection)
        if judgement is None:
            return None, None  # the client has gone
        offered = judgement.subprotocols
        if offered is None:
            response = plain_response(judgement.status, judgement.text + "\n")
            response.headers.update(judgement.fields)
            return response, None
        # Only now is it known that no field of the handshake occurs twice.
        if self.origins.patterns and not self.origins.allows(origin := request.headers.get("Origin")):
            return plain_response(403, f"this Origin is not allowed: {origin or 'none'}\n"), None
        if self.select_subprotocol is not None:
            try:
                subprotocol = self.select_subprotocol(connection, offered)
            except HandshakeFailed as refused:
                return plain_response(400, f"Failed to open a WebSocket connection: {refused}\n"), None
        else:
            subprotocol = self.choose(request.headers)
        return connection._acceptance(subprotocol), subprotocol


def _refusal(error: Exception, connection: ServerConnection) -> Response | None:
    """The answer, if it is the client's fault that a hook failed: the hook wanted the one value of a field that came twice."""
    if not isinstance(error, MultipleValuesError) or connection.request is None:
        return None
    if error.headers is not connection.request.headers:
        return None
    return plain_response(400, f'"{error.args[0]}" occurs more than once: send it exactly once\n')


async def _maybe(result: Any) -> Any:
    return await result if inspect.isawaitable(result) else result
