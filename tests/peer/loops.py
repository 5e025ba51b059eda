"""The event loops that everything has to work on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import uvloop


def ticking_uvloop() -> asyncio.AbstractEventLoop:
    """A uvloop that runs a little Python every second: while it runs none it notices no signal, and a test's timeout is one."""
    loop = uvloop.new_event_loop()

    def tick() -> None:
        loop.call_later(1, tick)

    tick()
    return loop


LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.SelectorEventLoop,
    "uvloop": ticking_uvloop,
}
"""How they are made, by name."""
