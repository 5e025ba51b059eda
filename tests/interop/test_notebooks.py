"""Notebooks: what lets them run the event loop from within itself, with everwire on that loop."""

from __future__ import annotations

import sys

import pytest
from peer.process import run
from peer.timing import MS

PROGRAM = """
import asyncio

import %(module)s

import everwire

loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
%(module)s.apply(loop)
told = []


async def echo(connection):
    async for message in connection:
        await connection.send(message)


def relay(connection):
    # A callback that asks somebody else, and waits for the answer within the callback.
    def on_message(connection, message):
        connection.send_nowait(asyncio.get_running_loop().run_until_complete(ask(message)))

    connection.on_message = on_message


async def ask(message):
    async with everwire.connect(url(echoing)) as client:
        await client.send(message)
        return await client.recv()


def url(server):
    return f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


async def cell(client):
    # A cell of a notebook: a task that the engine has woken runs the loop.
    await client.send("woken")
    answers = [await client.recv()]
    answers += [asyncio.run(ask(f"{number}")) for number in range(20)]
    await client.send("afterwards")
    return [*answers, await client.recv()]


async def main():
    global echoing
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: told.append(context))
    async with everwire.serve(echo, "127.0.0.1", 0) as echoing, everwire.serve(relay, "127.0.0.1", 0) as relaying:
        async with everwire.connect(url(echoing)) as client:
            print(*await cell(client))
        async with everwire.connect(url(relaying)) as client:
            for number in range(20):
                await client.send(f"{number}")
            print(*[await client.recv() for _ in range(20)])


loop.run_until_complete(main())
loop.close()
print(told)
"""


@pytest.mark.parametrize("module", ["nest_asyncio", "nest_asyncio2"])
def test_sockets_are_served_while_the_loop_is_run_from_within_a_turn(module: str) -> None:
    if module == "nest_asyncio" and sys.version_info >= (3, 14):
        pytest.skip("it does not know this Python")
    numbers = " ".join(map(str, range(20)))
    assert run(PROGRAM % {"module": module}, within=30_000 * MS) == [f"woken {numbers} afterwards", numbers, "[]"]
