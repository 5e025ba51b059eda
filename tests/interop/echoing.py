"""What is asked of everybody who echoes, whichever side is ours."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from .messages import burst, messages

__all__ = ["check_burst", "check_every_size"]

Send = Callable[[str | bytes], Awaitable[None]]
Receive = Callable[[], Awaitable[str | bytes]]


async def check_every_size(send: Send, receive: Receive) -> None:
    """Text and binary of every size come back as they were."""
    for message in messages():
        await send(message)
        returned = await receive()
        assert type(returned) is type(message)
        assert returned == message


async def check_burst(send: Send, receive: Receive) -> None:
    """Many small messages come back, in order, while more are on their way."""
    sent = burst()

    async def say() -> None:
        for message in sent:
            await send(message)

    saying = asyncio.create_task(say())
    received = [await receive() for _ in sent]
    await saying
    assert received == sent
