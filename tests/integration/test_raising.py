"""Whatever Python raises inside a turn: nothing of the batch is lost, and the next turn goes on.

What ends programs leaves the loop, so each test runs its loop itself, and again after that.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from peer.loops import LOOPS
from peer.timing import MS, eventually

import everwire
from everwire.engine.ssl_driver import SSLDriver

FATAL = [SystemExit, KeyboardInterrupt]
KINDS = [*FATAL, asyncio.CancelledError, LookupError]
"""What leaves the loop; what leaves the turn only, and is told by the loop; what is told by the engine."""


class Program:
    """Runs a coroutine on a loop of its own to its end, whatever the loop is left by meanwhile."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.left_by: list[type[BaseException]] = []
        self.told: list[type[BaseException]] = []
        loop.set_exception_handler(lambda _, context: self.told.append(type(context["exception"])))

    def run(self, main: Coroutine[Any, Any, None]) -> None:
        task = self.loop.create_task(main)
        while not task.done():
            try:
                self.loop.run_until_complete(task)
            except (SystemExit, KeyboardInterrupt) as error:
                self.left_by.append(type(error))

    def check(self, kind: type[BaseException], times: int = 1) -> None:
        """Whether this was raised, and went where it belongs."""
        assert self.left_by == ([kind] * times if kind in FATAL else [])
        assert self.told == ([] if kind in FATAL else [kind] * times)


@pytest.fixture(params=LOOPS.values(), ids=LOOPS)
def program(request: pytest.FixtureRequest) -> Iterator[Program]:
    loop = request.param()
    yield Program(loop)
    # Tasks of connections that were left to themselves.
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


class Once:
    """Raises when it is called for the first time."""

    def __init__(self, kind: type[BaseException], instead_of: Callable[..., Any] | None = None) -> None:
        self.kind = kind
        self.instead_of = instead_of
        self.has_raised = False

    def __call__(self, *arguments: Any) -> Any:
        if not self.has_raised:
            self.has_raised = True
            raise self.kind
        return None if self.instead_of is None else self.instead_of(*arguments)


async def goes_on(one: everwire.Connection, other: everwire.Connection) -> None:
    """Messages pass in both directions."""
    other.on_message = one.on_message = None
    await one.send("goes on")
    assert await other.recv() == "goes on"
    await other.send("both ways")
    assert await one.recv() == "both ways"


@contextlib.asynccontextmanager
async def crowd(wire: Any, handler: Any, count: int = 20, **options: Any) -> Any:
    """A server, and clients of it that are connected."""
    async with wire.serve(handler, **options) as server, contextlib.AsyncExitStack() as stack:
        clients = [await wire.connect(server) for _ in range(count)]
        for client in clients:
            stack.callback(client.abort)
        await eventually(lambda: len(server.connections) == count)
        yield clients


@pytest.mark.parametrize("kind", KINDS)
class TestACallback:
    def test_the_rest_of_the_batch_is_handed_out_in_order(self, program, wire, kind):
        async def main():
            async with wire.pair() as (one, at_one), wire.pair() as (two, at_two):
                received: dict[Any, list[str]] = {at_one: [], at_two: []}

                def on_message(connection, message):
                    received[connection].append(message)
                    if connection is at_one and message == "3":
                        raise kind

                at_one.on_message = at_two.on_message = on_message
                sent = [str(number) for number in range(100)]
                for message in sent:
                    one.send_nowait(message)
                    two.send_nowait(message)
                await eventually(lambda: received[at_two] == sent and len(received[at_one]) == 100)
                assert received[at_one] == sent
                await goes_on(two, at_two)
                if kind is LookupError:
                    await one.wait_closed()
                    assert one.close_code == 1011
                else:
                    await goes_on(one, at_one)

        program.run(main())
        program.check(kind)

    def test_messages_that_waited_are_handed_out_in_order(self, program, line, kind):
        async def main():
            async with line.pair(serve={"limits": everwire.Limits(queue_messages=1000)}) as (client, server):
                received = []

                def on_message(connection, message):
                    received.append(message)
                    if message == "3":
                        raise kind

                sent = [str(number) for number in range(100)]
                for message in sent:
                    client.send_nowait(message)
                await (await client.ping())
                server.on_message = on_message
                await eventually(lambda: received == sent)

        program.run(main())
        program.check(kind)

    def test_what_was_sent_before_it_leaves(self, program, wire, kind):
        async def main():
            async with wire.pair() as (client, server):

                def on_message(connection, message):
                    connection.send_nowait(f"answer to {message}")
                    if message == "1":
                        raise kind

                server.on_message = on_message
                for number in range(3):
                    client.send_nowait(str(number))
                assert [await client.recv() for _ in range(2)] == ["answer to 0", "answer to 1"]

        program.run(main())
        assert program.left_by == ([kind] if kind in FATAL else [])


@pytest.mark.parametrize("kind", [*FATAL, LookupError])
class TestTheExceptionHandler:
    def test_the_rest_of_the_batch_is_handed_out(self, program, wire, kind):
        handle = Once(kind)

        async def main():
            received = []

            def on_message(connection, message):
                if message == "fail":
                    raise ArithmeticError
                received.append(message)

            def handler(connection):
                connection.on_message = on_message

            program.loop.set_exception_handler(handle)
            async with crowd(wire, handler) as clients:
                for number, client in enumerate(clients):
                    client.send_nowait("fail" if number == 3 else str(number))
                await eventually(lambda: len(received) == 19)
                await clients[3].wait_closed()
                assert clients[3].close_code == 1011

        program.run(main())
        assert handle.has_raised
        assert program.left_by == ([kind] if kind in FATAL else [])


@pytest.mark.parametrize("kind", FATAL)
def test_every_failure_of_a_batch_is_told_if_the_exception_handler_ends_the_program_each_time(program, line, kind):
    told = []

    async def main():
        def handle(loop, context):
            told.append(context["connection"])
            raise kind

        def on_message(connection, message):
            raise ArithmeticError

        def handler(connection):
            connection.on_message = on_message

        program.loop.set_exception_handler(handle)
        async with crowd(line, handler) as clients:
            for client in clients:
                client.send_nowait("fail")
            for client in clients:
                await client.wait_closed()
                assert client.close_code == 1011

    program.run(main())
    assert len(set(told)) == len(told) == 20
    assert set(program.left_by) == {kind}


@pytest.mark.parametrize("kind", KINDS)
def test_a_task_that_raises_when_it_is_woken_keeps_nobody_else_asleep(program, wire, kind):
    async def main():
        received = []

        async def handler(connection):
            async for message in connection:
                received.append(message)
                if message == "3":
                    raise kind

        async with crowd(wire, handler) as clients:
            for number, client in enumerate(clients):
                client.send_nowait(str(number))
            await eventually(lambda: len(received) == 20)
            await clients[3].wait_closed()
            assert sorted(received) == sorted(map(str, range(20)))
            clients[4].send_nowait("again")
            await eventually(lambda: received[-1] == "again")

    program.run(main())
    assert program.left_by == ([kind] if kind in FATAL else [])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("hook", ["handler", "create_connection", "process_request"])
def test_a_connection_whose_beginning_fails_ends_and_others_come(program, wire, kind, hook):
    def handler(connection):
        connection.on_message = everwire.ServerConnection.send_nowait

    failing = Once(kind, everwire.ServerConnection if hook == "create_connection" else handler)

    async def main():
        options = {} if hook == "handler" else {hook: Once(kind) if hook == "process_request" else failing}
        async with wire.serve(failing if hook == "handler" else handler, open_timeout=2000 * MS, **options) as server:
            with pytest.raises((everwire.HandshakeFailed, everwire.ConnectionClosed, OSError)):
                async with wire.connect(server) as client:
                    await client.recv()
            async with wire.connect(server) as client:
                await client.send("comes")
                assert await client.recv() == "comes"

    program.run(main())
    assert program.left_by == ([kind] if kind in FATAL else [])


@pytest.fixture
def outside(tls, wire):
    """The cells in which a driver carries the bytes."""
    if tls != "outside":
        pytest.skip("there is no driver")
    return wire


@pytest.mark.parametrize("kind", [*KINDS, OSError])
@pytest.mark.parametrize("method", ["unwrap", "wrap", "outgoing"])
def test_a_driver_that_raises_loses_its_own_connection_only(program, outside, monkeypatch, kind, method):
    async def main():
        async with outside.pair() as (one, at_one), outside.pair() as (two, at_two):
            original = getattr(SSLDriver, method)
            raising = Once(kind, original)
            of_one = at_one._ssl_driver()
            receiving = [asyncio.ensure_future(each.recv()) for each in (one, at_one)]
            await (await one.ping())

            def call(driver, *arguments):
                return (raising if driver is of_one else original)(driver, *arguments)

            monkeypatch.setattr(SSLDriver, method, call)
            program.loop.call_soon(at_one.send_nowait, "x")
            for count in range(40):
                two.send_nowait(str(count))
                at_two.send_nowait(str(count))
            one.send_nowait(bytes(10_000))
            await asyncio.wait_for(asyncio.gather(one.wait_closed(), at_one.wait_closed()), 5000 * MS)
            await asyncio.gather(*receiving, return_exceptions=True)
            assert raising.has_raised
            assert at_one.close_code == 1006
            assert [await two.recv() for _ in range(40)] == [str(count) for count in range(40)]
            assert [await at_two.recv() for _ in range(40)] == [str(count) for count in range(40)]
            await goes_on(two, at_two)

    program.run(main())
    if kind is OSError:  # that TLS fails is no news for anybody but the peers
        assert program.told == program.left_by == []
    else:
        program.check(kind)
