"""``WebSocketStream`` as Chromium has it (whatwg/websockets#48), for asyncio: a WebSocket as two streams with back-pressure."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Iterable
from types import TracebackType
from typing import Unpack

from ..http import hidden_url
from . import subprotocol
from .abort import AbortSignal
from .closing import CloseInfo, WebSocketError, checked
from .duplex import Duplex, OpenInfo
from .link import LinkOptions, running_loop
from .outcome import StrongOutcome
from .url import normalized

__all__ = ["WebSocketStream"]


class WebSocketStream:
    """A connection to a server, which it begins to make at once, with a stream in each direction.

    Both press back: messages that nobody reads stop the server through TCP, and a write waits until the connection has taken all
    of it. Memory stays flat at whatever speed.

    ``async with WebSocketStream(url) as (readable, writable)`` is for short programs: it waits until the streams are there, and
    closes in the end.

    When nobody holds it or one of its streams any more, nor waits for what becomes of them, it may be collected, and is closed.
    """

    def __init__(
        self,
        url: str,
        *,
        protocols: Iterable[str] = (),
        signal: AbortSignal | None = None,
        **options: Unpack[LinkOptions],
    ) -> None:
        """Begin to connect.

        Args:
            url: absolute, ``ws``, ``wss``, ``http`` or ``https``, without a fragment.
            protocols: the subprotocols to ask for, the favorite first. If the server agrees to none, it fails.
            signal: calls the opening off when it is aborted; afterwards it does nothing.
            options: for :func:`everwire.connect`: ``ssl``, ``additional_headers``, ``origin``, ``max_size``, ``limits`` and so on.

        Raises:
            TypeError: ``protocols`` is one text.
            UsageError: the URL, a subprotocol or an option cannot be, or no event loop is running; the text says what to do.
        """
        running_loop("WebSocketStream")
        if isinstance(protocols, str):
            raise TypeError(f"protocols is a list of str, not a str: use [{protocols!r}]")
        if signal is not None and not isinstance(signal, AbortSignal):
            raise TypeError(f"signal is an AbortSignal, not {type(signal).__name__}: take it from an AbortController")
        self._url = normalized(url)
        self._duplex = Duplex(self._url, subprotocol.checked(protocols), signal, options)

    @property
    def url(self) -> str:
        """Where it leads, as browsers write URLs."""
        return self._url

    @property
    def opened(self) -> Awaitable[OpenInfo]:
        """Waits until it is open; gives the streams, the extensions and the subprotocol.

        If the only task that waits for it is cancelled, the opening is called off.

        Raises:
            WebSocketError: it could not be opened; ``__cause__`` says why. Or it was closed before.
            BaseException: the reason of the signal.
        """
        return StrongOutcome(self._duplex.opened, self._duplex)

    @property
    def closed(self) -> Awaitable[CloseInfo]:
        """Waits until the connection is closed; gives the peer's code and reason.

        Raises:
            WebSocketError: it was not closed cleanly, or something was left unwritten; or as :attr:`opened`.
        """
        return StrongOutcome(self._duplex.closed, self._duplex)

    def close(self, *, close_code: int | None = None, reason: str = "") -> None:
        """Begin to close; what waits to be written will not be. Before it is open, it fails instead.

        Args:
            close_code: 1000, or 3000 to 4999; ``None`` for none, or for 1000 if there is a reason.
            reason: at most 123 bytes in UTF-8; lone surrogates become U+FFFD.

        Raises:
            TypeError: they are no number, no text.
            UsageError: a code that programs must not send, or a reason that is too long; nothing happened.
        """
        self._duplex.close(*checked(close_code, reason))

    async def __aenter__(self) -> OpenInfo:
        return await self._duplex.opened

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close(close_code=1000 if kind is None else None)
        # Who reads or writes was told how it ended; who leaves has what was wanted.
        with contextlib.suppress(WebSocketError):
            await self._duplex.closed

    def __repr__(self) -> str:
        return f"<WebSocketStream {hidden_url(self._url)}>"
