"""A process that forks while it is connected: the child is told that nothing of it is its own, and the parent goes on."""

from __future__ import annotations

import textwrap

import pytest
from peer.process import run

PROGRAM = """
import asyncio, gc, multiprocessing, os, subprocess, sys, warnings
import everwire

# Python warns of forks beside threads, of which the lookup of a name has left one.
warnings.filterwarnings("ignore", "This process", DeprecationWarning)

LOOP, CHILD = sys.argv[1:]
if LOOP == "uvloop":
    import uvloop
    loop = uvloop.new_event_loop()
else:
    loop = asyncio.SelectorEventLoop()


async def echo(connection):
    async for message in connection:
        await connection.send(message)


async def round_trip(connection, message):
    await connection.send(message)
    return await asyncio.wait_for(connection.recv(), 10)


async def begin():
    server = await everwire.serve(echo, "127.0.0.1", 0)
    url = "ws://127.0.0.1:{}/".format(server.sockets[0].getsockname()[1])
    client = await everwire.connect(url)
    assert await round_trip(client, "before") == "before"
    return server, url, client


async def go_on():
    assert await round_trip(client, "after") == "after"
    async with everwire.connect(url) as another:
        assert await round_trip(another, "new") == "new"
    assert {connection.state for connection in server.connections} == {everwire.State.OPEN}
    await client.close()
    server.close()
    await server.wait_closed()
    assert client.close_code == 1000
    assert everwire._core.memory_held() == 0, "what is gone is still charged"


def fork(child):
    process = os.fork()
    if process == 0:
        try:
            assert everwire._core.memory_held() == 0, "what the parent holds is charged to the child"
            child()
            sys.stdout.flush()
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    assert os.waitpid(process, 0)[1] == 0, "the child failed"


def usage_error(call):
    try:
        call()
    except everwire.UsageError as error:
        assert "parent process" in str(error), error
    else:
        raise AssertionError("nothing was raised")
"""

END = """
loop.run_until_complete(go_on())
loop.close()
print("the parent went on")
"""

CHILDREN = {
    "uses": """
        server, url, client = loop.run_until_complete(begin())
        (connection,) = server.connections

        def child():
            for its in (client, connection):
                usage_error(lambda: its.send_nowait("x"))
                usage_error(lambda: its.send("x").send(None))
                usage_error(its.pause)
                usage_error(its.resume)
                usage_error(its.abort)
                usage_error(lambda: its.close().send(None))
                usage_error(lambda: its.wait_closed().send(None))
                usage_error(lambda: its.ping().send(None))
                usage_error(lambda: its.pong().send(None))
                usage_error(lambda: everwire.broadcast([its], "x"))
                usage_error(lambda: its.write_buffer_size)
                assert its.state is everwire.State.OPEN
            # The handler of the other one waits in recv() already.
            usage_error(lambda: client.recv().send(None))
            usage_error(lambda: anext(client.recv_streaming()).send(None))
            usage_error(server.close)
            usage_error(lambda: server.wait_closed().send(None))

        fork(child)
        """,
    "drops": """
        server, url, client = loop.run_until_complete(begin())
        # Tasks that are thrown away complain to the loop.
        loop.set_exception_handler(lambda loop, context: None)

        def child():
            global server, client
            warnings.simplefilter("ignore", ResourceWarning)
            del server, client
            gc.collect()
            gc.collect()

        fork(child)
        """,
    "serves itself": """
        server, url, client = loop.run_until_complete(begin())

        async def own():
            server, url, client = await begin()
            await client.close()
            server.close()
            await server.wait_closed()
            # To the parent, as anybody may.
            async with everwire.connect(parent) as connection:
                assert await round_trip(connection, "from the child") == "from the child"

        parent = url

        def child():
            asyncio.run(own())

        # The parent has to answer meanwhile.
        process = os.fork()
        if process == 0:
            try:
                child()
            except BaseException:
                sys.excepthook(*sys.exc_info())
                os._exit(1)
            os._exit(0)

        async def wait():
            while True:
                done, status = os.waitpid(process, os.WNOHANG)
                if done:
                    return status
                await asyncio.sleep(0.01)

        assert loop.run_until_complete(wait()) == 0
        """,
    "forks within a coroutine": """
        async def parent():
            global server, url, client
            server, url, client = await begin()
            process = os.fork()
            if process == 0:
                try:
                    try:
                        await client.send("x")
                    except everwire.UsageError:
                        pass
                    else:
                        os._exit(1)
                    try:
                        async with server:
                            pass
                    except everwire.UsageError:
                        pass
                    else:
                        os._exit(2)
                finally:
                    os._exit(0)
            assert os.waitpid(process, 0)[1] == 0

        loop.run_until_complete(parent())
        """,
    "is a multiprocessing.Process": """
        server, url, client = loop.run_until_complete(begin())

        def child(client, queue):
            try:
                client.send_nowait("x")
            except everwire.UsageError as error:
                queue.put(str(error))

        context = multiprocessing.get_context("fork")
        queue = context.SimpleQueue()
        process = context.Process(target=child, args=(client, queue))
        process.start()
        process.join()
        assert "parent process" in queue.get()
        """,
    "lives on after the parent closed": """
        # It has copies of the sockets: the peer must see the end all the same.
        server, url, client = loop.run_until_complete(begin())
        (connection,) = server.connections
        up, down = os.pipe()
        process = os.fork()
        if process == 0:
            os.close(down)
            os.read(up, 1)
            os._exit(0)

        async def end():
            connection.abort()
            await asyncio.wait_for(client.wait_closed(), 10)
            assert client.close_code == 1006
            server.close()
            await server.wait_closed()

        loop.run_until_complete(end())
        os.close(down)
        os.waitpid(process, 0)
        server, url, client = loop.run_until_complete(begin())
        """,
}


@pytest.mark.parametrize("child", CHILDREN)
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_parent_goes_on_beside_a_child_that(loop, child):
    assert run(PROGRAM + textwrap.dedent(CHILDREN[child]) + END, loop, child) == ["the parent went on"]


def test_a_subprocess_inherits_no_descriptor():
    program = (
        PROGRAM
        + """
LIST = "ls", "-l", "/proc/self/fd"


async def main():
    global server, url, client
    before = subprocess.run(LIST, capture_output=True, text=True, close_fds=False, check=True)
    server, url, client = await begin()
    # close_fds=False is how it could inherit anything at all.
    after = subprocess.run(LIST, capture_output=True, text=True, close_fds=False, check=True)
    for kind in ("socket:", "anon_inode:"):
        assert after.stdout.count(kind) == before.stdout.count(kind), after.stdout


loop.run_until_complete(main())
"""
        + END
    )
    for loop in ("asyncio", "uvloop"):
        assert run(program, loop, "") == ["the parent went on"]
