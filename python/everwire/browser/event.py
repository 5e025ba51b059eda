"""Events: what listeners are called with (DOM §2.2, HTML §9.1, WebSockets §6)."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .target import EventTarget

__all__ = ["CloseEvent", "ErrorEvent", "Event", "MessageEvent"]


class Event:
    """Something that happened to a target. Make one for :meth:`EventTarget.dispatch_event`; sockets make their own.

    Attributes:
        type: what happened: ``"open"``, ``"message"``, ``"error"``, ``"close"``, ``"abort"``, or any word of yours.
        target: to whom; ``None`` before the event is dispatched.
        current_target: whose listeners are being called; ``None`` before and after.
        event_phase: ``Event.AT_TARGET`` meanwhile, else ``Event.NONE``.
        bubbles: as it was made; targets here have no parents, so nothing follows from it.
        cancelable: whether :meth:`prevent_default` has an effect.
        default_prevented: whether it was called.
        is_trusted: whether a socket made the event, and not the program.
        time_stamp: when it was made, in seconds of :func:`time.monotonic`.
    """

    NONE = 0
    AT_TARGET = 2

    def __init__(self, type: str, *, bubbles: bool = False, cancelable: bool = False) -> None:
        self.type = type
        self.target: EventTarget | None = None
        self.current_target: EventTarget | None = None
        self.event_phase = Event.NONE
        self.bubbles = bubbles
        self.cancelable = cancelable
        self.default_prevented = False
        self.is_trusted = False
        self.time_stamp = time.monotonic()
        self._is_stopped = False

    def prevent_default(self) -> None:
        """Ask whoever dispatches the event not to do what would follow: ``dispatch_event`` returns false."""
        if self.cancelable:
            self.default_prevented = True

    def stop_immediate_propagation(self) -> None:
        """Call no further listener for this event."""
        self._is_stopped = True

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.type}>"

    @property
    def currentTarget(self) -> EventTarget | None:
        """:attr:`current_target`, as JavaScript spells it."""
        return self.current_target

    @property
    def eventPhase(self) -> int:
        """:attr:`event_phase`, as JavaScript spells it."""
        return self.event_phase

    @property
    def defaultPrevented(self) -> bool:
        """:attr:`default_prevented`, as JavaScript spells it."""
        return self.default_prevented

    @property
    def isTrusted(self) -> bool:
        """:attr:`is_trusted`, as JavaScript spells it."""
        return self.is_trusted

    preventDefault = prevent_default
    stopImmediatePropagation = stop_immediate_propagation


class MessageEvent(Event):
    """A message came.

    Attributes:
        data: ``str`` for text; for binary what :attr:`WebSocket.binary_type` says.
        origin: from where: scheme, host and port of the socket's URL.
    """

    def __init__(
        self,
        type: str,
        *,
        data: Any = None,
        origin: str = "",
        bubbles: bool = False,
        cancelable: bool = False,
    ) -> None:
        super().__init__(type, bubbles=bubbles, cancelable=cancelable)
        self.data = data
        self.origin = origin

    def json(self) -> Any:
        """What the data says in JSON, text or binary.

        Raises:
            ValueError: it is not JSON.
        """
        data = self.data
        if hasattr(data, "getbuffer"):
            data = data.getvalue()
        elif isinstance(data, memoryview):
            data = data.tobytes()
        return json.loads(data)


class CloseEvent(Event):
    """The connection is closed; nothing comes after it.

    Attributes:
        code: the close code that came (RFC 6455 §7.1.5): 1005 if the peer gave none, 1006 if there was no close frame.
        reason: the peer's reason.
        was_clean: whether both sides said goodbye (RFC 6455 §7.1.4).
    """

    def __init__(
        self,
        type: str,
        *,
        was_clean: bool = False,
        code: int = 0,
        reason: str = "",
        bubbles: bool = False,
        cancelable: bool = False,
    ) -> None:
        super().__init__(type, bubbles=bubbles, cancelable=cancelable)
        self.was_clean = was_clean
        self.code = code
        self.reason = reason

    def __repr__(self) -> str:
        return f"<CloseEvent {self.type} {self.code} {self.reason!r} {'clean' if self.was_clean else 'not clean'}>"

    @property
    def wasClean(self) -> bool:
        """:attr:`was_clean`, as JavaScript spells it."""
        return self.was_clean


class ErrorEvent(Event):
    """The connection failed; a :class:`CloseEvent` follows.

    Attributes:
        error: why, which browsers keep from their pages: what :func:`everwire.connect` or a receiver would have raised.
    """

    def __init__(
        self,
        type: str,
        *,
        error: BaseException | None = None,
        bubbles: bool = False,
        cancelable: bool = False,
    ) -> None:
        super().__init__(type, bubbles=bubbles, cancelable=cancelable)
        self.error = error

    @property
    def message(self) -> str:
        """Why, in words."""
        return "" if self.error is None else str(self.error)
