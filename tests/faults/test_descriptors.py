"""A process that runs out of descriptors: it goes on with what it has, and takes more as soon as it can."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time

import psutil
import pytest
from peer import frames
from peer.client import RawClient, request
from peer.process import run
from peer.timing import MS

SERVER = """
import asyncio, os, resource, sys
import everwire


async def echo(connection):
    async for message in connection:
        await connection.send(message)


async def main():
    async with everwire.serve(echo, "127.0.0.1", 0) as server:
        # What it will import and open for the first connection, it has by then.
        async with everwire.connect("ws://127.0.0.1:{}/".format(server.sockets[0].getsockname()[1])):
            pass
        # The limit is on numbers, and new ones get the lowest that are free: below the highest there must be none.
        highest = max(map(int, os.listdir("/proc/self/fd")))
        while os.open("/dev/null", os.O_RDONLY) < highest:
            pass
        limit = max(map(int, os.listdir("/proc/self/fd"))) + int(sys.argv[2])
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


if sys.argv[1] == "uvloop":
    import uvloop
    make_loop = uvloop.new_event_loop
else:
    make_loop = asyncio.SelectorEventLoop
with asyncio.Runner(loop_factory=make_loop) as runner:
    runner.run(main())
"""


@pytest.fixture
def loop_name(request):
    return "uvloop" if "uvloop" in request.node.name else "asyncio"


@contextlib.asynccontextmanager
async def starving(loop_name, room):
    """A server in a process of its own that has room for so many connections, about; its port, its process, its log."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        SERVER,
        loop_name,
        str(room),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        port = int(await asyncio.wait_for(process.stdout.readline(), 20_000 * MS))
        yield port, process
    finally:
        process.kill()
        await process.wait()


async def is_served(client, within):
    """Whether a client is answered by then."""
    try:
        return (await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), within)).startswith(b"HTTP/1.1 101")
    except TimeoutError:
        return False


async def still_echoes(client):
    client.send(frames.TEXT, b"still there?")
    frame = await client.frame()
    return frame.payload == b"still there?"


async def test_a_server_serves_whom_it_has_and_accepts_others_when_descriptors_are_free_again(loop_name):
    room, crowd = 8, 14
    async with starving(loop_name, room) as (port, process), contextlib.AsyncExitStack() as leaving:
        waiting = []
        for _ in range(crowd):
            client = await RawClient.connect(("127.0.0.1", port))
            leaving.push_async_exit(client)
            client.write(request("/"))
            waiting.append(client)
        served = []
        while waiting and await is_served(waiting[0], 1000 * MS):
            served.append(waiting.pop(0))
        assert room // 2 <= len(served) <= room

        # Whoever is there is served, and nobody turns in circles.
        assert all([await still_echoes(client) for client in served])
        watched = psutil.Process(process.pid)
        before, began = watched.cpu_times(), time.monotonic()
        await asyncio.sleep(600 * MS)
        after = watched.cpu_times()
        used = after.user + after.system - before.user - before.system
        assert used < 0.3 * (time.monotonic() - began)
        line = await asyncio.wait_for(process.stderr.readline(), 5000 * MS)
        assert b"accepting pauses" in line
        assert b"Too many open files" in line

        # Freed descriptors bring no event; it has to look again by itself.
        while waiting:
            leaver = served.pop(0)
            leaver.writer.transport.abort()
            newcomer = waiting.pop(0)
            assert await is_served(newcomer, 5000 * MS)
            served.append(newcomer)
        assert all([await still_echoes(client) for client in served])


CLIENT = """
import asyncio, errno, os, resource, sys
import everwire

soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)


def descriptors():
    return len(os.listdir("/proc/self/fd"))


async def hold(connection):
    await connection.wait_closed()


async def refused(attempt):
    before = descriptors()
    # The limit is on numbers: the lowest that is free is the next one's.
    free = next(number for number in range(10_000) if not os.path.exists(f"/proc/self/fd/{number}"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        await attempt
    except OSError as error:
        assert error.errno == errno.EMFILE, error
    else:
        raise AssertionError("it had no descriptor")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert descriptors() == before


async def main():
    loop = asyncio.get_running_loop()
    await loop.getaddrinfo("127.0.0.1", 0)
    # The loop has no shard yet: there is nothing for a poller.
    await refused(everwire.serve(hold, "127.0.0.1", 0))
    async with everwire.serve(hold, "127.0.0.1", 0) as server:
        url = "ws://127.0.0.1:{}/".format(server.sockets[0].getsockname()[1])
        async with everwire.connect(url) as first:
            await refused(everwire.connect(url)._open())
            await (await first.ping())
            async with everwire.connect(url) as second:
                await (await second.ping())
    print("it went on")


if sys.argv[1] == "uvloop":
    import uvloop
    make_loop = uvloop.new_event_loop
else:
    make_loop = asyncio.SelectorEventLoop
with asyncio.Runner(loop_factory=make_loop) as runner:
    runner.run(main())
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_who_cannot_serve_or_connect_is_told_and_can_later(loop):
    assert run(CLIENT, loop) == ["it went on"]
