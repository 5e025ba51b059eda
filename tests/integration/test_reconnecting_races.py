"""``close()``, ``reconnect()`` and cancellation at every step of the event loop: close() wins, never two connections, nothing left.

Each test runs a story again and again, and does something to it one step of the loop later each time.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from peer.service import Service
from peer.timing import MS, eventually

import everwire
from everwire import ReconnectingWebSocket

STEPS = 60
"""More than a connection on loopback takes from the first step to the last."""


@pytest.fixture(autouse=True)
async def problems() -> AsyncIterator[list[Any]]:
    """What the event loop was told of: nothing."""
    seen: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: seen.append(context))
    yield seen
    gc.collect()
    assert seen == []


async def _token() -> str:
    await asyncio.sleep(0)
    return "token"


async def _introduce(connection: everwire.ClientConnection) -> None:
    await connection.send("subscribe")
    await (await connection.ping())


def client(service: Service, **options: Any) -> ReconnectingWebSocket:
    options = {"token": _token, "on_open": _introduce, "reconnect_delays": lambda: itertools.repeat(0.0)} | options
    return ReconnectingWebSocket(service.url, **options)


async def steps(count: int) -> None:
    """Let the loop go on for some steps."""
    for _ in range(count):
        await asyncio.sleep(0)


async def check_end(service: Service, ws: ReconnectingWebSocket, before: set[asyncio.Task[Any]]) -> None:
    """It is closed, and nothing of it is left here or at the server."""
    assert ws.state == "closed"
    assert ws.connection is None
    with pytest.raises(everwire.ConnectionClosedOK):
        await ws.send("too late")
    async for _ in ws:
        pass
    await eventually(lambda: all(connection.close_code is not None for connection in service.connections))
    await eventually(lambda: asyncio.all_tasks() - _of(service) <= before | {asyncio.current_task()})


def _of(service: Service) -> set[asyncio.Task[Any]]:
    """The server's own tasks: of handlers that end in their own time."""
    return {task for task in asyncio.all_tasks() if "ServerConnection" in repr(task) or "serving" in repr(task)}


async def _connecting(service: Service, ws: ReconnectingWebSocket) -> None:
    ws.start()


async def _opened(service: Service, ws: ReconnectingWebSocket) -> None:
    ws.start()
    await ws.wait_open()


async def _lost(service: Service, ws: ReconnectingWebSocket) -> None:
    await _opened(service, ws)
    service.last.abort()


async def _closed_by_the_server(service: Service, ws: ReconnectingWebSocket) -> None:
    await _opened(service, ws)
    closing = asyncio.ensure_future(service.last.close(1012))
    service.tasks.add(closing)


async def _refused(service: Service, ws: ReconnectingWebSocket) -> None:
    service.refusals = [(503, {})] * 3
    ws.start()


async def _flushing(service: Service, ws: ReconnectingWebSocket) -> None:
    await _opened(service, ws)
    ws.reconnect()
    for _ in range(30):
        await ws.send("x" * 20_000)


async def _reconnecting(service: Service, ws: ReconnectingWebSocket) -> None:
    await _opened(service, ws)
    ws.reconnect()


STORIES = [_connecting, _opened, _lost, _closed_by_the_server, _refused, _flushing, _reconnecting]
Story = Callable[[Service, ReconnectingWebSocket], Awaitable[None]]


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__.strip("_"))
class TestEveryStep:
    async def test_close_wins(self, service: Service, story: Story) -> None:
        for count in range(STEPS):
            before = asyncio.all_tasks()
            ws = client(service)
            await story(service, ws)
            await steps(count)
            async with asyncio.timeout(5000 * MS):
                await ws.close(4000)
            await check_end(service, ws, before)
            service.refusals.clear()

    async def test_a_close_that_is_cancelled_goes_on(self, service: Service, story: Story) -> None:
        for count in range(STEPS):
            before = asyncio.all_tasks()
            ws = client(service)
            await story(service, ws)
            closing = asyncio.ensure_future(ws.close())
            await steps(1 + count % 20)
            closing.cancel()
            await asyncio.wait([closing])
            await eventually(lambda ws=ws: ws.state == "closed")  # type: ignore[misc]
            await check_end(service, ws, before)
            service.refusals.clear()

    async def test_reconnecting_leads_to_one_connection(self, service: Service, story: Story) -> None:
        for count in range(STEPS):
            ws = client(service)
            await story(service, ws)
            await steps(count)
            ws.reconnect()
            await steps(count % 7)
            ws.reconnect()
            async with asyncio.timeout(5000 * MS):
                await ws.wait_open()
                receiving = asyncio.ensure_future(ws.recv())
                await service.last.send("here")
                assert await receiving == "here"
                await ws.close()
            service.refusals.clear()

    async def test_waiting_and_receiving_can_be_cancelled(self, service: Service, story: Story) -> None:
        for count in range(STEPS):
            before = asyncio.all_tasks()
            ws = client(service)
            await story(service, ws)
            waiting = [
                asyncio.ensure_future(ws.recv()),
                asyncio.ensure_future(ws.wait_open()),
                asyncio.ensure_future(ws.send("x")),
            ]
            await steps(count)
            for task in waiting:
                task.cancel()
            await asyncio.wait(waiting)
            await ws.wait_open()
            async with asyncio.timeout(5000 * MS):
                await ws.close()
            await check_end(service, ws, before)
            service.refusals.clear()


async def test_entering_that_is_cancelled_at_any_step_leaves_nothing(service: Service) -> None:
    for count in range(STEPS):
        before = asyncio.all_tasks()
        ws = client(service)

        async def enter(ws: ReconnectingWebSocket = ws) -> None:
            async with ws:
                await ws.recv()

        entering = asyncio.ensure_future(enter())
        await steps(count)
        entering.cancel()
        await asyncio.wait([entering])
        assert entering.cancelled()
        if ws.state != "new":
            await check_end(service, ws, before)


async def test_every_message_arrives_once_however_often_the_connection_is_replaced(service: Service) -> None:
    ws = client(service, on_open=None, queue_messages=10_000)
    ws.start()
    sent: list[str] = []

    async def send() -> None:
        for number in itertools.count():
            if len(service.connections) > 30:
                return
            await ws.send(str(number))
            sent.append(str(number))
            if ws.queued_messages > 100:
                await ws.wait_open()
            await asyncio.sleep(0)

    sending = asyncio.ensure_future(send())
    for count in itertools.count():
        if sending.done():
            break
        await steps(count % 50)
        if ws.state == "open":
            # A closing handshake behind what was sent: all of that arrives first.
            ws.reconnect()
    await sending
    await (await ws.send("the last"))
    await eventually(lambda: service.received[-1] == "the last")
    await ws.close()
    assert service.received == [*sent, "the last"]
