"""The event loop is run from within a turn, as notebooks and nested loops of user interfaces do: sockets go on being served."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
from collections.abc import Callable
from typing import Any

import pytest
from peer.timing import MS, eventually

import everwire


class NestingLoop(asyncio.SelectorEventLoop):
    """A loop that can be run from within itself: asyncio's own, but that nobody else takes its handles away."""

    def __init__(self) -> None:
        super().__init__()
        self.iterations = 0

    def nest(self, awaitable: Any) -> Any:
        """Run until this is done; nothing of the caller runs meanwhile."""
        future = asyncio.ensure_future(awaitable, loop=self)
        while not future.done():
            self._run_once()
        return future.result()

    def _run_once(self) -> None:
        self.iterations += 1
        while self._scheduled and self._scheduled[0]._cancelled:
            heapq.heappop(self._scheduled)._scheduled = False
        timeout = None
        if self._ready or self._stopping:
            timeout = 0
        elif self._scheduled:
            timeout = max(0, self._scheduled[0]._when - self.time())
        self._process_events(self._selector.select(timeout))
        while self._scheduled and self._scheduled[0]._when < self.time() + self._clock_resolution:
            handle = heapq.heappop(self._scheduled)
            handle._scheduled = False
            self._ready.append(handle)
        for _ in range(len(self._ready)):
            if not self._ready:
                break
            handle = self._ready.popleft()
            if not handle._cancelled:
                self._run_handle(handle)

    def _run_handle(self, handle: asyncio.Handle) -> None:
        # Nobody is the current task of an inner run.
        task = asyncio.current_task(self)
        if task is not None:
            asyncio.tasks._leave_task(self, task)
        try:
            handle._run()
        finally:
            if task is not None:
                asyncio.tasks._enter_task(self, task)


LOOPS = {"nesting": NestingLoop}
"""uvloop cannot be run from within itself."""


def nest(awaitable: Any) -> Any:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, NestingLoop)
    return loop.nest(awaitable)


async def echo(connection: everwire.ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


def echo_by_callback(connection: everwire.ServerConnection) -> None:
    connection.on_message = everwire.ServerConnection.send_nowait


async def talk(client: everwire.ClientConnection, count: int = 20) -> str:
    for number in range(count):
        await client.send(str(number))
        assert await client.recv() == str(number)
    return "talked"


@pytest.fixture(params=["callback", "task"])
def style(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def on_first_message(connection: everwire.Connection, style: str, call: Callable[[], Any]) -> asyncio.Future[Any]:
    """Call something when a message comes, from within the turn that brings it; its result."""
    done = asyncio.get_running_loop().create_future()

    def on_message(connection: everwire.Connection, message: Any) -> None:
        if not done.done():
            try:
                done.set_result(call())
            except Exception as error:
                done.set_exception(error)

    async def receive() -> None:
        on_message(connection, await connection.recv())

    if style == "callback":
        connection.on_message = on_message
    else:
        done.task = asyncio.ensure_future(receive())  # type: ignore[attr-defined]
    return done


@pytest.mark.parametrize("handler", [echo, echo_by_callback])
async def test_other_connections_are_served(wire, style, handler, complaints):
    async with wire.serve(handler) as server, wire.connect(server) as other, wire.pair() as (client, connection):
        done = on_first_message(connection, style, lambda: nest(talk(other)))
        await asyncio.sleep(0)
        await client.send("nest")
        assert await done == "talked"
        assert await talk(other) == "talked"
        connection.on_message = None
        await client.send("afterwards")
        assert await connection.recv() == "afterwards"
    assert complaints == []


async def test_connections_are_opened_and_closed(wire, style, complaints):
    async def visit(server):
        async with wire.connect(server) as client:
            return await talk(client)

    async with wire.serve(echo) as server, wire.pair() as (client, connection):
        done = on_first_message(connection, style, lambda: nest(visit(server)))
        await asyncio.sleep(0)
        await client.send("nest")
        assert await done == "talked"
    assert complaints == []


async def test_what_the_turn_had_left_is_done(wire, complaints):
    # All of it comes in one batch: the first callback waits for those of all others.
    everybody = asyncio.Event()
    received = []

    def on_message(connection, message):
        received.append(connection)
        if len(received) == 20:
            everybody.set()
        if len(received) == 1:
            nest(everybody.wait())

    def handler(connection):
        connection.on_message = on_message

    async with wire.serve(handler) as server, contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(wire.connect(server)) for _ in range(20)]
        for client in clients:
            client.send_nowait("x")
        await asyncio.wait_for(everybody.wait(), 5000 * MS)
        assert len(set(received)) == 20
    assert complaints == []


async def test_tasks_that_the_turn_had_still_to_wake_are_woken(wire, complaints):
    everybody = asyncio.Event()
    received = []

    async def handler(connection):
        received.append(await connection.recv())
        if len(received) == 20:
            everybody.set()
        if len(received) == 1:
            nest(everybody.wait())
        await connection.wait_closed()

    async with wire.serve(handler) as server, contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(wire.connect(server)) for _ in range(20)]
        for client in clients:
            client.send_nowait("x")
        await asyncio.wait_for(everybody.wait(), 5000 * MS)
    assert complaints == []


async def test_what_was_queued_before_leaves(wire, style, complaints):
    async with wire.pair() as (client, connection):

        def answer():
            for number in range(3):
                connection.send_nowait(str(number))
            return [nest(client.recv()) for _ in range(3)]

        done = on_first_message(connection, style, answer)
        await asyncio.sleep(0)
        await client.send("nest")
        assert await done == ["0", "1", "2"]
    assert complaints == []


async def test_messages_of_a_connection_whose_callback_runs_the_loop_come_one_after_the_other(wire, complaints):
    log = []

    async with wire.serve(echo) as server, wire.connect(server) as other, wire.pair() as (client, connection):

        def on_message(connection, message):
            log.append(f"{message} begins")
            nest(talk(other, 2))
            log.append(f"{message} ends")

        connection.on_message = on_message
        for number in range(50):
            client.send_nowait(str(number))
        await eventually(lambda: len(log) == 100)
    assert log == [f"{number} {what}" for number in range(50) for what in ("begins", "ends")]
    assert complaints == []


async def test_nothing_spins_while_somebody_waits_within_a_turn(wire, style, complaints):
    loop = asyncio.get_running_loop()

    async with wire.pair() as (client, connection):

        def wait():
            # Bytes come for the connection whose callback or task runs.
            client.send_nowait("meanwhile")
            before = loop.iterations
            nest(asyncio.sleep(300 * MS))
            return loop.iterations - before

        done = on_first_message(connection, style, wait)
        await asyncio.sleep(0)
        await client.send("nest")
        # Some for the messages, and one for every 10 ms.
        assert await done < 100
    assert complaints == []


async def test_loops_are_run_within_loops(line, complaints):
    # Each callback waits for the next one's.
    depth = 20
    done = [asyncio.Event() for _ in range(depth)]
    clients: list[everwire.ClientConnection] = []

    def handler(connection):
        def on_message(connection, message):
            number = int(message)
            if number + 1 < depth:
                clients[number + 1].send_nowait(str(number + 1))
                nest(done[number + 1].wait())
            done[number].set()

        connection.on_message = on_message

    async with line.serve(handler) as server, contextlib.AsyncExitStack() as stack:
        for _ in range(depth):
            clients.append(await stack.enter_async_context(line.connect(server)))
        clients[0].send_nowait("0")
        await asyncio.wait_for(done[0].wait(), 10_000 * MS)
    assert complaints == []


async def test_deadlines_are_kept(line, style, complaints):
    async def wait_for_the_end(port):
        # A client that says nothing.
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await reader.read()
        writer.close()
        await writer.wait_closed()
        return "given up"

    async with line.serve(echo, open_timeout=100 * MS) as server, line.pair() as (client, connection):
        port = server.sockets[0].getsockname()[1]
        done = on_first_message(connection, style, lambda: nest(wait_for_the_end(port)))
        await asyncio.sleep(0)
        await client.send("nest")
        assert await asyncio.wait_for(done, 5000 * MS) == "given up"
    assert complaints == []


async def test_a_turn_that_nothing_else_interrupts_goes_on_too(line, complaints):
    # The peer is in another thread: no socket, timer or task of this loop has anything to say while the callback waits.
    loop, answered = asyncio.get_running_loop(), asyncio.Event()
    received = []

    def on_message(connection, message):
        received.append(message)
        connection.send_nowait(f"answer to {message}")
        if message == "0":
            nest(answered.wait())

    def handler(connection):
        connection.on_message = on_message

    async def peer(server):
        async with line.connect(server) as one, line.connect(server) as other:
            one.send_nowait("0")
            other.send_nowait("1")
            answers = [await one.recv(), await other.recv()]
            loop.call_soon_threadsafe(answered.set)
            return answers

    async with line.serve(handler) as server:
        answers = await asyncio.to_thread(lambda: asyncio.run(asyncio.wait_for(peer(server), 3000 * MS)))
    assert answers == ["answer to 0", "answer to 1"]
    assert complaints == []
