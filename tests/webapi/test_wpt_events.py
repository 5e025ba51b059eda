"""What the web platform's tests say of events and listeners. Each test names theirs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from peer import frames
from peer.http import Head
from peer.server import RawServer, answer

from everwire import UsageError
from everwire.browser import CloseEvent, Event, EventTarget, MessageEvent, WebSocket

KINDS = ["open", "message", "error", "close"]


async def misbehave(client: Any, head: Head) -> None:
    """Say something, and then what nobody may say: a frame with a reserved opcode."""
    client.write(answer(head))
    await client.frame()
    client.write(frames.encode(frames.TEXT, b"test", key=None) + frames.encode(3, b"LOL", key=None))
    await client.closed()


class TestHandlers:
    @pytest.mark.parametrize("kind", KINDS)
    async def test_there_is_none_at_first(self, home: Any, kind: str) -> None:
        """WPT: websockets/interfaces/WebSocket/events/001.html, websockets/interfaces/WebSocket/events/006.html"""
        ws = home.open()
        assert getattr(ws, f"on_{kind}") is None
        assert getattr(ws, f"on{kind}") is None

    @pytest.mark.parametrize("kind", KINDS)
    async def test_it_is_what_was_set(self, home: Any, kind: str) -> None:
        """WPT: websockets/interfaces/WebSocket/events/002.html"""
        ws = home.open()

        def own(event: Event) -> None: ...

        setattr(ws, f"on{kind}", own)
        assert getattr(ws, f"on_{kind}") is own

    @pytest.mark.parametrize("kind", KINDS)
    async def test_none_removes_it(self, home: Any, kind: str) -> None:
        """WPT: websockets/interfaces/WebSocket/events/010.html, websockets/interfaces/WebSocket/events/014.html"""
        ws = home.open()
        setattr(ws, f"on_{kind}", lambda _: pytest.fail("it was removed"))
        setattr(ws, f"on_{kind}", None)
        assert getattr(ws, f"on_{kind}") is None
        ws.dispatch_event(Event(kind))

    @pytest.mark.parametrize("kind", KINDS)
    async def test_it_is_called(self, home: Any, kind: str) -> None:
        """WPT: websockets/interfaces/WebSocket/events/003.html, websockets/interfaces/WebSocket/events/007.html,
        websockets/interfaces/WebSocket/events/008.html, websockets/interfaces/WebSocket/events/009.html"""
        ws = home.open()
        told: list[Event] = []
        setattr(ws, f"on_{kind}", told.append)
        event = Event(kind)
        ws.dispatch_event(event)
        assert told == [event]

    @pytest.mark.parametrize("wrong", [1, 2, ";", {}])
    @pytest.mark.parametrize("kind", KINDS)
    async def test_what_cannot_be_called_is_refused(self, home: Any, kind: str, wrong: Any) -> None:
        """WPT: websockets/eventhandlers.any.js, websockets/interfaces/WebSocket/events/011.html,
        websockets/interfaces/WebSocket/events/012.html, where it counts as none"""
        ws = home.open()
        with pytest.raises(TypeError, match=f"on_{kind} is a function or None"):
            setattr(ws, f"on_{kind}", wrong)
        assert getattr(ws, f"on_{kind}") is None

    @pytest.mark.parametrize("kind", KINDS)
    async def test_an_object_with_a_method_is_none(self, home: Any, kind: str) -> None:
        """WPT: websockets/interfaces/WebSocket/events/013.html, where it is kept and never called"""

        class Own:
            def handle_event(self, event: Event) -> None:
                pytest.fail("it is no handler")

        with pytest.raises(TypeError):
            setattr(home.open(), f"on_{kind}", Own())

    async def test_another_one_takes_the_place_of_the_first(self, home: Any) -> None:
        ws = home.open()
        told: list[str] = []
        ws.on_close = lambda _: told.append("first")
        ws.add_event_listener("close", lambda _: told.append("between"))
        ws.on_close = lambda _: told.append("second")
        ws.dispatch_event(CloseEvent("close"))
        assert told == ["second", "between"]


class TestListeners:
    @pytest.mark.parametrize("name", ["addEventListener", "removeEventListener", "dispatchEvent"])
    async def test_there_are_methods_for_them(self, home: Any, name: str) -> None:
        """WPT: websockets/interfaces/WebSocket/events/004.html"""
        assert callable(getattr(home.open(), name))

    async def test_they_are_called_in_order(self, site: Any) -> None:
        """WPT: websockets/interfaces/WebSocket/events/016.html"""
        ws = site.open("/echo_exit")
        order: list[str] = []
        for kind in ("open", "message", "close"):
            ws.add_event_listener(kind, lambda event: order.append(f"{event.type} 1"))
            setattr(ws, f"on_{kind}", lambda event: order.append(f"{event.type} 2"))
            ws.addEventListener(kind, lambda event: order.append(f"{event.type} 3"), False)
        ws.add_event_listener("open", lambda _: (ws.send("hello"), ws.send("Goodbye")))
        await ws.wait_closed()
        assert order == [f"{kind} {number}" for kind in ("open", "message", "close") for number in (1, 2, 3)]

    async def test_events_know_their_target(self, heard: Any) -> None:
        """WPT: websockets/interfaces/WebSocket/events/017.html"""
        async with RawServer(misbehave) as server:
            ws = WebSocket(server.url)
            seen: list[tuple[str, bool, bool, int]] = []

            def look(event: Event) -> None:
                seen.append((event.type, event.target is ws, event.currentTarget is ws, event.eventPhase))

            for kind in KINDS:
                ws.add_event_listener(kind, look)
            ws.on_open = lambda _: ws.send("go on")
            await ws.wait_closed()
        assert seen == [(kind, True, True, Event.AT_TARGET) for kind in KINDS]

    async def test_events_are_of_their_kinds(self, heard: Any) -> None:
        """WPT: websockets/interfaces/WebSocket/events/015.html"""
        async with RawServer(misbehave) as server:
            ws = WebSocket(server.url)
            all_of_it = heard(ws)
            ws.on_open = lambda _: ws.send("go on")
            await ws.wait_closed()
        opened, message, error, closed = all_of_it.events
        assert type(opened) is Event
        assert type(message) is MessageEvent
        assert isinstance(error, Event)
        assert type(closed) is CloseEvent
        assert all_of_it.states == [ws.OPEN, ws.OPEN, ws.CLOSED, ws.CLOSED]
        assert (closed.code, closed.was_clean) == (1006, False)

    async def test_events_do_not_bubble_and_cannot_be_canceled(self, heard: Any) -> None:
        """WPT: websockets/interfaces/WebSocket/events/018.html"""
        async with RawServer(misbehave) as server:
            ws = WebSocket(server.url)
            all_of_it = heard(ws)
            ws.on_open = lambda _: ws.send("go on")
            await ws.wait_closed()
        assert all_of_it.types == KINDS
        for event in all_of_it.events:
            assert (event.bubbles, event.cancelable, event.is_trusted) == (False, False, True)
            event.prevent_default()
            assert not event.defaultPrevented

    @pytest.mark.parametrize("kind", KINDS)
    async def test_one_that_was_removed_is_not_called(self, home: Any, kind: str) -> None:
        """WPT: websockets/interfaces/WebSocket/events/019.html"""
        ws = home.open()
        ws.close()
        told: list[Event] = []
        ws.addEventListener(kind, told.append, False)
        ws.removeEventListener(kind, told.append, False)
        ws.dispatchEvent(Event(kind))
        assert told == []

    async def test_messages_come_one_by_one(self, site: Any) -> None:
        ws = site.open("/burst")
        loop = asyncio.get_running_loop()
        order: list[str] = []

        def note(event: Event) -> None:
            order.append(event.data if isinstance(event, MessageEvent) else event.type)
            loop.call_soon(order.append, "another callback")

        for kind in KINDS:
            ws.add_event_listener(kind, note)
        await ws.wait_closed()
        assert [word for word in order if word != "another callback"] == ["open", "0", "1", "2", "close"]

    async def test_it_is_called_once_if_it_was_added_twice(self) -> None:
        target, told = EventTarget(), []
        target.add_event_listener("x", told.append)
        target.add_event_listener("x", told.append)
        target.dispatch_event(Event("x"))
        assert len(told) == 1

    async def test_one_that_is_added_meanwhile_waits_for_the_next_event(self) -> None:
        target, told = EventTarget(), []
        target.add_event_listener("x", lambda _: target.add_event_listener("x", told.append), once=True)
        target.dispatch_event(Event("x"))
        assert told == []
        target.dispatch_event(Event("x"))
        assert len(told) == 1

    async def test_one_that_is_removed_meanwhile_is_not_called(self) -> None:
        target, told = EventTarget(), []
        target.add_event_listener("x", lambda _: target.remove_event_listener("x", told.append))
        target.add_event_listener("x", told.append)
        target.dispatch_event(Event("x"))
        assert told == []

    async def test_an_event_is_dispatched_once_at_a_time(self) -> None:
        target = EventTarget()
        errors: list[Exception] = []

        def again(event: Event) -> None:
            try:
                target.dispatch_event(event)
            except UsageError as error:
                errors.append(error)

        target.add_event_listener("x", again)
        event = Event("x")
        assert target.dispatch_event(event)
        assert len(errors) == 1
        assert (event.target, event.current_target, event.event_phase) == (target, None, Event.NONE)

    async def test_what_is_no_event_is_not_dispatched(self) -> None:
        with pytest.raises(TypeError):
            EventTarget().dispatch_event("x")  # type: ignore[arg-type]

    async def test_a_default_is_prevented_if_it_can_be(self) -> None:
        target = EventTarget()
        target.add_event_listener("x", lambda event: event.preventDefault())
        assert target.dispatch_event(Event("x"))
        assert not target.dispatch_event(Event("x", cancelable=True))

    async def test_a_listener_can_keep_an_event_from_the_others(self) -> None:
        target, told = EventTarget(), []
        target.add_event_listener("x", lambda event: event.stop_immediate_propagation())
        target.add_event_listener("x", told.append)
        target.dispatch_event(Event("x"))
        assert told == []
