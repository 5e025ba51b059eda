"""One unit for every time in the tests, so that a slow machine can stretch them all."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

__all__ = ["MS", "eventually"]

MS = 0.001 * float(os.environ.get("EVERWIRE_TESTS_TIMEOUT_FACTOR", "1"))
"""A millisecond."""


async def eventually(condition: Callable[[], object], within: float = 5000 * MS) -> None:
    """Wait until a condition of this process holds that nothing announces.

    Raises:
        AssertionError: it does not.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + within
    while not condition():
        assert loop.time() < until, "it never happened"
        await asyncio.sleep(2 * MS)
