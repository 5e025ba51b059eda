"""An event loop that ends before what lives on it was closed; and the next loop of the same process."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import warnings
import weakref

import pytest
from peer.certificates import authority, client_context, identity, server_context
from peer.loops import LOOPS

import everwire


@pytest.fixture(params=LOOPS.values(), ids=LOOPS)
def make_loop(request):
    return request.param


async def echo(connection):
    async for message in connection:
        await connection.send(message)


def echo_by_callback(connection):
    connection.on_message = everwire.ServerConnection.send_nowait


def descriptors():
    return len(os.listdir("/proc/self/fd"))


def is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
        probe.listen()
        return True


async def begin(handler, server_tls=None, client_tls=None):
    """A server, and a connection that was used."""
    server = await everwire.serve(handler, "127.0.0.1", 0, ssl=server_tls)
    port = server.sockets[0].getsockname()[1]
    scheme = "ws" if server_tls is None else "wss"
    client = await everwire.connect(f"{scheme}://127.0.0.1:{port}/", ssl=client_tls)
    await client.send("hello")
    assert await client.recv() == "hello"
    return server, client, port


def forget_everything():
    """What has to be said about what was dropped, in texts."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        # Once for the cycle, once for what its finalizers left.
        gc.collect()
        gc.collect()
        said = [f"{warning.category.__name__}: {warning.message}" for warning in caught]
        # A warning holds what it is about.
        caught.clear()
        gc.collect()
    return said


def drop_a_loop(make_loop, handler, *tls):
    loop = make_loop()
    server, client, port = loop.run_until_complete(begin(handler, *tls))
    references = [weakref.ref(it) for it in (loop, server, client, server._shard, *server.connections)]
    # The thread that looked up the address holds the loop until it has ended.
    loop.run_until_complete(loop.shutdown_default_executor())
    with warnings.catch_warnings():
        # uvloop says goodbye to its transports aloud, and hangs if that raises.
        warnings.simplefilter("ignore", ResourceWarning)
        loop.close()
    return references, port


@pytest.mark.parametrize("handler", [echo, echo_by_callback])
def test_a_loop_closed_without_closing_its_server_is_warned_about_and_everything_is_freed(make_loop, handler):
    # A first round, for what each kind of loop keeps for ever.
    counts = []
    for _ in range(3):
        references, port = drop_a_loop(make_loop, handler)
        said = forget_everything()
        expected = (
            "ResourceWarning: the event loop went away with open WebSocket connections or servers: close them first"
        )
        assert said.count(expected) == 1
        assert [reference() for reference in references] == [None] * len(references)
        assert is_free(port)
        counts.append(descriptors())
    assert counts[1] == counts[2]


@pytest.mark.parametrize("kind", ["core", "outside"])
def test_so_it_is_under_tls(make_loop, kind, tmp_path):
    tls = {
        "core": (everwire.TLS(identity().certificate, identity().key), everwire.TLS(trust=authority().pem)),
        "outside": (server_context(tmp_path), client_context()),
    }[kind]
    references, port = drop_a_loop(make_loop, echo, *tls)
    del tls
    # asyncio's transports, where they carry the bytes, say it themselves.
    assert any(text.startswith("ResourceWarning") for text in forget_everything())
    assert [reference() for reference in references] == [None] * len(references)
    assert is_free(port)


def test_what_was_closed_is_not_warned_about(make_loop):
    async def main():
        server, client, _ = await begin(echo)
        await client.close()
        server.close()
        await server.wait_closed()

    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(main())
    del runner
    assert [text for text in forget_everything() if "WebSocket" in text] == []


def test_the_peer_of_a_loop_that_went_away_sees_the_end(make_loop):
    # Two loops of one thread, one after the other, with a connection from the second to the first.
    loop = make_loop()
    server, client, port = loop.run_until_complete(begin(echo))
    peer = socket.create_connection(("127.0.0.1", port))
    peer.settimeout(5)
    loop.close()
    del server, client, loop
    forget_everything()
    with peer:
        # One that was never accepted is reset.
        with contextlib.suppress(ConnectionResetError):
            assert peer.recv(1) == b""


def test_calls_on_a_loop_that_is_closed_fail_and_do_no_harm(make_loop):
    loop = make_loop()
    server, client, _ = loop.run_until_complete(begin(echo))
    (connection,) = server.connections
    loop.close()
    assert client.remote_address[0] == "127.0.0.1"
    calls = {
        lambda: client.send_nowait("x"),
        lambda: connection.send_nowait("x"),
        lambda: client.abort(),
        lambda: everwire.broadcast([client], "x"),
        lambda: client.close().send(None),
    }
    for call in calls:
        for _ in range(2):
            with pytest.raises((RuntimeError, everwire.ConnectionClosed)):
                call()
    assert isinstance(client.state, everwire.State)
    calls.clear()
    server = client = connection = loop = call = None
    forget_everything()


def test_a_connection_of_a_loop_that_is_gone_is_not_waited_for_on_another(make_loop):
    loop = make_loop()
    server, client, _ = loop.run_until_complete(begin(echo))
    loop.close()

    async def wait(waiting):
        await waiting()

    for waiting in (client.wait_closed, client.recv, client.ping, server.wait_closed):
        with asyncio.Runner(loop_factory=make_loop) as runner, pytest.raises(RuntimeError):
            runner.run(wait(waiting))
    del server, client, loop, runner, waiting
    forget_everything()


def test_asyncio_run_twice(make_loop):
    async def main():
        async with everwire.serve(echo, "127.0.0.1", 0) as server:
            async with everwire.connect(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/") as client:
                await client.send("hello")
                return await client.recv()

    for _ in range(3):
        with asyncio.Runner(loop_factory=make_loop) as runner:
            assert runner.run(main()) == "hello"


def test_asyncio_run_cancels_what_is_left_and_the_next_run_starts_afresh(make_loop):
    ended = []

    async def handler(connection):
        try:
            await connection.recv()
        finally:
            ended.append(connection)

    async def careless():
        server = await everwire.serve(handler, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        return [await everwire.connect(f"ws://127.0.0.1:{port}/") for _ in range(3)]

    for count in (3, 6):
        with asyncio.Runner(loop_factory=make_loop) as runner:
            clients = runner.run(careless())
        assert len(clients) == 3
        # asyncio.run() cancels the handlers' tasks, and waits for them.
        assert len(ended) == count
    ended.clear()
    del clients, runner
    forget_everything()
