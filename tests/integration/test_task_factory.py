"""Tasks are made as the program says: eagerly, or by a factory of its own; handlers, hooks and receivers do not mind."""

from __future__ import annotations

import asyncio
import gc
import sys

import pytest
from peer.timing import MS, eventually

import everwire

NOISE = bytes(range(256)) * 2000


@pytest.fixture
async def eager() -> None:
    """Tasks of this test's loop begin to run at once, inside a turn of the engine too."""
    if sys.version_info < (3, 12):
        pytest.skip("this Python has no eager tasks")
    asyncio.get_running_loop().set_task_factory(_eager)


def _eager(loop, coroutine, *, eager_start=True, **options):
    """``asyncio.eager_task_factory``, whatever else a loop says: uvloop says ``eager_start=None``, Python 3.14 knows it."""
    return asyncio.Task(coroutine, loop=loop, eager_start=True, **options)


async def greet_and_echo(connection):
    await connection.send("hello")
    async for message in connection:
        await connection.send(message)


@pytest.mark.usefixtures("eager")
class TestEager:
    async def test_messages_pass_both_ways(self, wire):
        async with wire.serve(greet_and_echo) as server, wire.connect(server) as client:
            assert await client.recv() == "hello"
            for message in ("text", b"binary", "", NOISE):
                await client.send(message)
                assert await client.recv() == message
            for number in range(200):
                client.send_nowait(str(number))
            assert [await client.recv() for _ in range(200)] == [str(number) for number in range(200)]

    async def test_a_handler_that_returns_before_it_waits_closes_with_1000(self, line, complaints):
        async def handler(connection):
            await connection.send("all of it")

        async with line.serve(handler) as server:
            for _ in range(10):
                async with line.connect(server) as client:
                    assert [message async for message in client] == ["all of it"]
                    assert client.close_code == 1000
            await eventually(lambda: not server.handlers)
        assert complaints == []

    async def test_a_handler_that_fails_before_it_waits_closes_with_1011(self, line, caplog):
        async def handler(connection):
            raise LookupError("at once")

        async with line.serve(handler) as server, line.connect(server) as client:
            await client.wait_closed()
            assert client.close_code == 1011
            assert not server.handlers
        assert "at once" in caplog.text

    async def test_hooks_that_answer_at_once_and_hooks_that_wait(self, wire):
        async def process_request(connection, request):
            if request.path == "/slow":
                await asyncio.sleep(MS)
            if request.path == "/refused":
                return connection.respond(403, "no\n")
            return None

        def process_response(connection, request, response):
            response.headers["X-Seen"] = request.path

        async with wire.serve(
            greet_and_echo, process_request=process_request, process_response=process_response
        ) as server:
            for target in ("/quick", "/slow"):
                async with wire.connect(server, target) as client:
                    assert client.response.headers["X-Seen"] == target
                    assert await client.recv() == "hello"
            with pytest.raises(everwire.HandshakeFailed) as raised:
                await wire.connect(server, "/refused")
            assert raised.value.status == 403
            await eventually(lambda: not server.handlers)

    async def test_a_task_that_is_made_within_a_callback_sends_receives_and_closes(self, wire, complaints):
        tasks = []

        async def answer(connection, message):
            await connection.send(f"1 {message}")
            connection.on_message = None
            await connection.send(f"2 {await connection.recv()}")
            await connection.close(4000, "done")

        def handler(connection):
            connection.on_message = lambda connection, message: tasks.append(
                asyncio.create_task(answer(connection, message))
            )

        async with wire.serve(handler) as server, wire.connect(server) as client:
            client.send_nowait("a")
            client.send_nowait("b")
            assert [await client.recv(), await client.recv()] == ["1 a", "2 b"]
            await client.wait_closed()
            assert (client.close_code, client.close_reason) == (4000, "done")
            await asyncio.gather(*tasks)
        assert complaints == []

    async def test_a_receiver_that_is_made_in_a_task_is_woken(self, line):
        # The task that sends is running when the message to itself arrives in a turn of the same loop.
        async with line.pair() as (client, server):
            for number in range(100):
                receiving = asyncio.create_task(server.recv())
                await client.send(str(number))
                assert await receiving == str(number)

    async def test_a_cancelled_receiver_loses_nothing(self, line):
        async with line.pair() as (client, server):
            for number in range(50):
                receiving = asyncio.create_task(server.recv())
                if number % 2:
                    await asyncio.sleep(0)
                receiving.cancel()
                await asyncio.gather(receiving, return_exceptions=True)
                await client.send(str(number))
                assert await asyncio.create_task(server.recv()) == str(number)

    async def test_the_server_closes_in_order(self, line):
        ended = []

        async def handler(connection):
            try:
                await connection.recv()
            except everwire.ConnectionClosed as closed:
                ended.append(closed.sent.code)

        async with line.serve(handler) as server:
            clients = [await line.connect(server) for _ in range(5)]
            server.close()
            await server.wait_closed()
        for client in clients:
            await client.wait_closed()
            assert client.close_code == 1001
        assert ended == [1001] * 5


class TestOwnFactory:
    async def test_it_makes_the_tasks_of_handlers_and_hooks_in_the_context_of_serve(self, line):
        made = []

        def factory(loop, coroutine, *, eager_start=None, **options):
            task = asyncio.Task(coroutine, loop=loop, **options)
            made.append((coroutine.__qualname__, "context" in options, task))
            return task

        async def process_request(connection, request):
            return None

        asyncio.get_running_loop().set_task_factory(factory)
        async with line.serve(greet_and_echo, process_request=process_request) as server:
            async with line.connect(server) as client:
                assert await client.recv() == "hello"
                (connection,) = server.connections
                handling = server.handlers[connection]
        ours = [
            (has_context, task) for name, has_context, task in made if name in ("Endpoint._supervise", "Hooks.decide")
        ]
        assert len(ours) == 2
        assert all(has_context for has_context, _ in ours)
        assert handling in [task for _, task in ours]

    async def test_tasks_of_a_class_of_ones_own_are_used_as_they_are(self, line):
        class Named(asyncio.Task):
            """What a tracing library does."""

        asyncio.get_running_loop().set_task_factory(
            lambda loop, coroutine, eager_start=None, **options: Named(coroutine, loop=loop, **options)
        )
        seen = []

        async def handler(connection):
            seen.append(type(asyncio.current_task()))
            await connection.send(await connection.recv())

        async with line.serve(handler) as server, line.connect(server) as client:
            await client.send("x")
            assert await client.recv() == "x"
        assert seen == [Named]

    @pytest.mark.filterwarnings("ignore:coroutine 'greet_and_echo' was never awaited")
    @pytest.mark.parametrize("has_hook", [True, False], ids=["hook", "handler"])
    async def test_one_that_fails_costs_its_connection_and_is_reported(self, line, complaints, has_hook):
        loop = asyncio.get_running_loop()
        is_failing = False

        def factory(loop, coroutine, *, eager_start=None, **options):
            if is_failing and coroutine.__qualname__ in ("Endpoint._supervise", "Hooks.decide"):
                coroutine.close()
                raise LookupError("no task for you")
            return asyncio.Task(coroutine, loop=loop, **options)

        async def process_request(connection, request):
            return None

        loop.set_task_factory(factory)
        hooks = {"process_request": process_request} if has_hook else {}
        async with line.serve(greet_and_echo, **hooks) as server:
            is_failing = True
            if has_hook:
                with pytest.raises(everwire.HandshakeFailed) as raised:
                    await line.connect(server)
                assert raised.value.status == 500
            else:
                client = await line.connect(server)
                await client.wait_closed()
                assert client.close_code == 1011
            is_failing = False
            assert [type(complaint["exception"]) for complaint in complaints] == [LookupError]
            async with line.connect(server) as client:
                assert await client.recv() == "hello"
        # The coroutine that got no task goes away here, not in another test.
        complaints.clear()
        gc.collect()
