"""Senders and receivers of any pace, with queues and marks of any size: nobody is forgotten while he waits."""

from __future__ import annotations

import asyncio
import random

import pytest
from peer.timing import MS

SIZES = (0, 1, 100, 5_000, 65_536, 70_000, 300_000, 1_500_000)


def some_sizes(dice: random.Random) -> list[int]:
    count = dice.randrange(1, 40)
    return [dice.choice(SIZES) if dice.random() < 0.2 else dice.randrange(20_000) for _ in range(count)]


def some_marks(dice: random.Random) -> dict[str, object]:
    return {
        "max_queue": dice.choice([1, 1, 2, 16, (4, 1)]),
        "write_limit": dice.choice([1, 3, 1_000, 16_384, 65_536, 1_000_000]),
        "max_size": 2_000_000,
    }


async def send_all(dice, connection, sizes, kind):
    for size in sizes:
        if dice.random() < 0.2:
            await asyncio.sleep(dice.choice([0, 0, MS]))
        await connection.send("x" * size if kind is str else dice.randbytes(size))


async def receive_all(dice, connection, sizes, kind):
    for size in sizes:
        if dice.random() < 0.2:
            await asyncio.sleep(dice.choice([0, 0, 2 * MS]))
        message = await connection.recv()
        assert (type(message), len(message)) == (kind, size)


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_the_sizes_marks_and_pace_every_message_arrives(wire, seed):
    dice = random.Random(seed)
    async with wire.pair(serve=some_marks(dice), **some_marks(dice)) as (client, server):
        there, back = some_sizes(dice), some_sizes(dice)
        async with asyncio.timeout(30_000 * MS), asyncio.TaskGroup() as tasks:
            tasks.create_task(send_all(dice, client, there, str))
            tasks.create_task(receive_all(dice, server, there, str))
            tasks.create_task(send_all(dice, server, back, bytes))
            tasks.create_task(receive_all(dice, client, back, bytes))
