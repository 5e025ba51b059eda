"""What has listeners: adding them, removing them, calling them (DOM §2.7, HTML §8.1.8)."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypedDict, TypeVar, Unpack, overload

from ..errors import UsageError
from .event import Event

if TYPE_CHECKING:
    from typing import Self

    from .abort import AbortSignal

__all__ = ["EventTarget", "Handler", "HandlesEvents", "Listener"]

E = TypeVar("E", bound=Event)


class HandlesEvents(Protocol):
    """An object that is a listener by its method."""

    def handle_event(self, event: Any, /) -> object:
        """Take an event."""


Listener = Callable[[Any], object] | HandlesEvents
"""A function, a coroutine function, or an object with a method ``handle_event``; JavaScript's ``handleEvent`` counts, too."""

# The loop keeps only weak references to its tasks.
_tasks: set[asyncio.Future[Any]] = set()


class _Entry:
    """A listener where it stands in the order."""

    __slots__ = ("is_removed", "listener", "on_removed", "once", "type")

    def __init__(self, type: str, listener: Any, once: bool) -> None:
        self.type = type
        self.listener = listener
        self.once = once
        self.is_removed = False
        self.on_removed: Callable[[], None] | None = None


class AddEventListenerOptions(TypedDict, total=False):
    """What JavaScript tells beside the listener (DOM §2.7); ``capture`` and ``passive`` mean nothing without a tree."""

    capture: bool
    once: bool
    passive: bool
    signal: AbortSignal | None


class EventTarget:
    """Something that events happen to.

    Listeners are called in the order in which they were added, once for each event. A coroutine function runs as a task that
    begins after the listeners behind it were called; nothing waits for it, as in a browser. What a listener raises goes to the
    event loop's exception handler, and keeps no other listener from being called.
    """

    def __init__(self) -> None:
        self._entries: list[_Entry] = []
        self._handlers: dict[str, _Entry] = {}

    def add_event_listener(
        self,
        type: str,
        listener: Listener | None,
        *,
        once: bool = False,
        signal: AbortSignal | None = None,
    ) -> None:
        """Call a listener for each event of a type. One that was added for it already stays where it is.

        Args:
            type: of the events.
            listener: a function, a coroutine function, or an object with ``handle_event``; ``None`` is no listener.
            once: remove it before it is called for the first time.
            signal: removes it when it is aborted; one that was aborted already adds nothing.

        Raises:
            TypeError: the listener cannot be called.
        """
        if listener is None or (signal is not None and signal.aborted):
            return
        if not callable(listener) and _method(listener) is None:
            raise TypeError(f"a listener is callable or has a method handle_event, not {_article(listener)}")
        if self._find(type, listener) is not None:
            return
        entry = _Entry(type, listener, once)
        self._add(entry)
        if signal is not None:

            def remove(_: Event) -> None:
                self._remove(entry)

            signal.add_event_listener("abort", remove)
            # A signal may live for long: it must not hold what has nothing to do with it any more.
            entry.on_removed = lambda: signal.remove_event_listener("abort", remove)

    def remove_event_listener(self, type: str, listener: Listener | None) -> None:
        """Call a listener no more, not even for an event that is being dispatched; one that is unknown is none."""
        entry = self._find(type, listener)
        if entry is not None:
            self._remove(entry)

    def dispatch_event(self, event: Event) -> bool:
        """Call the listeners for an event now; false if one of them prevented its default.

        Raises:
            TypeError: it is no event.
            UsageError: the event is being dispatched already.
        """
        if not isinstance(event, Event):
            raise TypeError(f"an event is an Event, not {_article(event)}")
        if event.event_phase != Event.NONE:
            raise UsageError("this event is being dispatched already: make another one")
        event.is_trusted = False
        return self._fire(event)

    def addEventListener(
        self,
        type: str,
        listener: Listener | None,
        options: AddEventListenerOptions | bool | None = None,
        **more: Unpack[AddEventListenerOptions],
    ) -> None:
        """:meth:`add_event_listener`, as JavaScript spells it; options may come as a dictionary, and capturing means nothing."""
        given: dict[str, Any] = {**(options if isinstance(options, Mapping) else {}), **more}
        self.add_event_listener(type, listener, once=bool(given.get("once")), signal=given.get("signal"))

    def removeEventListener(
        self,
        type: str,
        listener: Listener | None,
        options: object = None,
    ) -> None:
        """:meth:`remove_event_listener`, as JavaScript spells it."""
        self.remove_event_listener(type, listener)

    dispatchEvent = dispatch_event

    # For targets

    def _has_listener(self, *types: str) -> bool:
        return any(entry.type in types for entry in self._entries)

    def _before_listening(self, type: str) -> None:
        """Refuse a listener that cannot be, by an exception."""

    def _on_listeners_changed(self) -> None:
        """Note that there are other listeners now."""

    def _fire(self, event: Event) -> bool:
        event.target = event.current_target = self
        event.event_phase = Event.AT_TARGET
        try:
            for entry in [entry for entry in self._entries if entry.type == event.type]:
                if entry.is_removed:
                    continue
                if entry.once:
                    self._remove(entry)
                _call(entry.listener, event)
                if event._is_stopped:
                    break
        finally:
            event.current_target = None
            event.event_phase = Event.NONE
            event._is_stopped = False
        return not event.default_prevented

    def _find(self, type: str, listener: object) -> _Entry | None:
        own = self._handlers.get(type)
        # Bound methods are made anew for each look: they are equal, not the same.
        found = (entry for entry in self._entries if entry.type == type and entry is not own)
        return next((entry for entry in found if entry.listener == listener), None)

    def _add(self, entry: _Entry) -> None:
        self._before_listening(entry.type)
        self._entries.append(entry)
        self._on_listeners_changed()

    def _remove(self, entry: _Entry) -> None:
        entry.is_removed = True
        self._entries.remove(entry)
        if entry.on_removed is not None:
            entry.on_removed()
        self._on_listeners_changed()


class Handler(Generic[E]):
    """An attribute that holds one listener: ``on_open`` and its like."""

    def __init__(self, type: str) -> None:
        self._type = type
        self.__doc__ = f"A function or coroutine function for ``{type}`` events; ``None`` for none."

    @overload
    def __get__(self, target: None, owner: type[EventTarget]) -> Self: ...
    @overload
    def __get__(self, target: EventTarget, owner: type[EventTarget]) -> Callable[[E], object] | None: ...
    def __get__(self, target: EventTarget | None, owner: type[EventTarget]) -> Self | Callable[[E], object] | None:
        if target is None:
            return self
        entry = target._handlers.get(self._type)
        return None if entry is None else entry.listener

    def __set__(self, target: EventTarget, listener: Callable[[E], object] | None) -> None:
        if listener is not None and not callable(listener):
            raise TypeError(f"on_{self._type} is a function or None, not {_article(listener)}")
        entry = target._handlers.get(self._type)
        if listener is None:
            if entry is not None:
                del target._handlers[self._type]
                target._remove(entry)
        elif entry is not None:
            entry.listener = listener
        else:
            entry = _Entry(self._type, listener, False)
            target._add(entry)
            target._handlers[self._type] = entry


def _call(listener: Any, event: Event) -> None:
    try:
        result = listener(event) if callable(listener) else _method(listener)(event)  # type: ignore[misc]
        if inspect.isawaitable(result):
            task = asyncio.ensure_future(result)
            _tasks.add(task)
            task.add_done_callback(lambda done: _finish(done, event))
    except Exception as error:
        _report(error, event)


def _finish(task: asyncio.Future[Any], event: Event) -> None:
    _tasks.discard(task)
    if not task.cancelled():
        error = task.exception()
        if isinstance(error, Exception):
            _report(error, event)


def _report(error: Exception, event: Event) -> None:
    message = f"exception in a listener for {event.type!r} events"
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        logging.getLogger("everwire.browser").error(message, exc_info=error)
    else:
        loop.call_exception_handler({"message": message, "exception": error, "event": event})


def _method(listener: object) -> Callable[[Any], object] | None:
    method = getattr(listener, "handle_event", None) or getattr(listener, "handleEvent", None)
    return method if callable(method) else None


def _article(thing: object) -> str:
    name = type(thing).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
