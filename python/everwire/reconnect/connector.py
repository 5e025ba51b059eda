"""What a client does each time it connects: it asks for URL and credentials anew."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias, TypeVar

from ..client import ClientConnection, connect
from ..errors import UsageError
from ..http import Headers, HeadersLike

__all__ = ["Connector", "ValueOrFunction"]

T = TypeVar("T")
ValueOrFunction: TypeAlias = T | Callable[[], T | Awaitable[T]]
"""A value, or a function or coroutine function that gives it."""


class Connector:
    """What :func:`~everwire.connect` is told, some of it only when it is needed.

    Args:
        uri, additional_headers, subprotocols: as for :func:`~everwire.connect`, or functions that give them.
        token: a bearer token (RFC 6750 §2.1), or a function that gives it.
        options: the other arguments of :func:`~everwire.connect`.

    Attributes:
        is_dynamic: whether anything is asked for, so that another attempt may bring other credentials.

    Raises:
        UsageError: the arguments do not fit together, as far as they are known.
    """

    def __init__(
        self,
        uri: ValueOrFunction[str],
        additional_headers: ValueOrFunction[HeadersLike | None],
        subprotocols: ValueOrFunction[Sequence[str] | None],
        token: ValueOrFunction[str | None],
        options: dict[str, Any],
    ) -> None:
        if options.get("sock") is not None:
            raise UsageError("a sock can be connected only once: say where to connect, by the URL, or host and port")
        self._asked: tuple[Any, ...] = uri, additional_headers, subprotocols, token
        self._options = options
        self.is_dynamic = any(map(callable, self._asked))
        # What is wrong in any case is said before the first attempt.
        known: list[Any] = [None if callable(value) else value for value in self._asked]
        scheme = "wss" if options.get("ssl") else "ws"
        connect(known[0] or f"{scheme}://localhost/", **self._arguments(*known[1:]))

    async def connect(self) -> ClientConnection:
        """Ask, and open a connection.

        Raises:
            Exception: whatever the functions, or :func:`~everwire.connect`, raise.
        """
        uri, headers, subprotocols, token = [await _answer(asked) for asked in self._asked]
        return await connect(str(uri), **self._arguments(headers, subprotocols, token))

    def _arguments(self, headers: Any, subprotocols: Any, token: Any) -> dict[str, Any]:
        if token is not None:
            headers = Headers(headers or ())
            if "Authorization" in headers:
                raise UsageError("token and an Authorization header say two things: give one of them")
            headers["Authorization"] = f"Bearer {token}"
        return {"additional_headers": headers, "subprotocols": subprotocols, **self._options}


async def _answer(asked: Any) -> Any:
    if not callable(asked):
        return asked
    answer = asked()
    return await answer if inspect.isawaitable(answer) else answer
