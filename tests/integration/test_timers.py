"""Deadlines on loops whose clocks are coarse."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from peer.timing import MS

import everwire


class Early(asyncio.SelectorEventLoop):
    """A loop that rounds times down, by more than uvloop does."""

    def call_later(self, delay: float, *rest: Any, **options: Any) -> asyncio.TimerHandle:
        return super().call_later(max(0.0, delay - 4 * MS), *rest, **options)


def test_a_timer_that_fires_early_is_set_again(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with everwire.serve(everwire.Connection.wait_closed, "127.0.0.1", 0, idle_timeout=50 * MS) as server:
            port = server.sockets[0].getsockname()[1]
            for _ in range(5):
                async with everwire.connect(f"ws://127.0.0.1:{port}/", ping_interval=None) as client:
                    await asyncio.wait_for(client.wait_closed(), 3000 * MS)
                    assert client.close_code == 1001

    with asyncio.Runner(loop_factory=Early) as runner:
        runner.run(main())
    assert "blocked" not in caplog.text
