"""Context variables (PEP 567): each serve() captures its caller's, each connection has a copy of its own."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import weakref

from peer.timing import eventually

import everwire

WHO = contextvars.ContextVar("who", default="nobody")


async def hold(connection):
    await connection.wait_closed()


async def test_handlers_and_hooks_run_in_the_context_of_serve_not_of_the_first_client(wire):
    seen = []

    async def process_request(connection, request):
        seen.append(("process_request", WHO.get()))

    async def process_response(connection, request, response):
        seen.append(("process_response", WHO.get()))

    def select_subprotocol(connection, offered):
        seen.append(("select_subprotocol", WHO.get()))

    def create_connection(server):
        seen.append(("create_connection", WHO.get()))
        return everwire.ServerConnection(server)

    async def handler(connection):
        seen.append(("handler", WHO.get()))
        await connection.wait_closed()

    WHO.set("server")
    hooks = {
        "process_request": process_request,
        "process_response": process_response,
        "select_subprotocol": select_subprotocol,
        "create_connection": create_connection,
    }
    async with wire.serve(handler, **hooks) as server:
        WHO.set("client")
        for _ in range(2):
            async with wire.connect(server) as client:
                await (await client.ping())
    assert sorted({name for name, _ in seen}) == sorted([*hooks, "handler"])
    assert {who for _, who in seen} == {"server"}


async def test_two_servers_on_one_loop_keep_their_contexts_apart(line):
    seen = []

    async def handler(connection):
        seen.append(WHO.get())
        await connection.wait_closed()

    WHO.set("one")
    async with line.serve(handler) as one:
        WHO.set("two")
        async with line.serve(handler) as two:
            WHO.set("client")
            for server in (one, two, one):
                async with line.connect(server) as client:
                    await (await client.ping())
    assert seen == ["one", "two", "one"]


async def test_what_a_connection_sets_no_other_sees(wire):
    seen = []

    async def handler(connection):
        seen.append(WHO.get())
        WHO.set(connection.request.path)
        await asyncio.sleep(0)
        assert WHO.get() == connection.request.path
        await connection.wait_closed()
        assert WHO.get() == connection.request.path

    async with wire.serve(handler) as server:
        async with wire.connect(server, "/a"), wire.connect(server, "/b"):
            await eventually(lambda: len(seen) == 2)
        await eventually(lambda: not server.handlers)
    assert seen == ["nobody", "nobody"]
    assert WHO.get() == "nobody"


async def test_what_a_hook_sets_its_handler_sees(wire):
    # Who somebody is, a hook finds out, and everything that works for them may want to know.
    seen = []

    async def process_request(connection, request):
        WHO.set(request.path)

    async def handler(connection):
        seen.append(WHO.get())
        await connection.wait_closed()

    async with wire.serve(handler, process_request=process_request) as server:
        async with wire.connect(server, "/a"), wire.connect(server, "/b"):
            await eventually(lambda: len(seen) == 2)
    assert sorted(seen) == ["/a", "/b"]


async def test_a_plain_handler_and_its_callbacks_share_the_connections_context(line):
    seen = []

    def on_message(connection, message):
        seen.append((message, WHO.get()))
        WHO.set(message)

    def handler(connection):
        WHO.set("handler of " + connection.request.path)
        connection.on_message = on_message

    async with line.serve(handler) as server:
        async with line.connect(server, "/a") as a, line.connect(server, "/b") as b:
            for message in ("1", "2"):
                for client in (a, b):
                    await client.send(message)
                    await (await client.ping())
    # Each callback runs in the context in which it was set: what one message sets, the next one finds.
    assert seen == [("1", "handler of /a"), ("1", "handler of /b"), ("2", "1"), ("2", "1")]


async def test_what_the_loop_calls_for_all_carries_nobodys_variables(line):
    # The shard is made by the first who needs it: its variables must not be kept alive by it, nor be seen by others.
    class Large:
        """Something that should go away with its task."""

    variable = contextvars.ContextVar("variable")

    async def first():
        large = Large()
        variable.set(large)
        # asyncio keeps the context of a timeout until its time would have come.
        client = await line.connect(server, open_timeout=None)
        await (await client.ping())
        return weakref.ref(large), client

    async with line.serve(hold) as server:
        reference, client = await asyncio.create_task(first())
        await asyncio.sleep(0)
        gc.collect()
        assert reference() is None
        await client.close()
