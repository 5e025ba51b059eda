"""Watching how things stand."""

from __future__ import annotations

import asyncio

from peer.timing import eventually

from everwire.reconnect.status import CurrentStatus, LinkStatus


async def test_a_watcher_sees_the_status_now_and_every_further_one() -> None:
    current = CurrentStatus()
    seen: list[str] = []

    async def watch() -> None:
        async for status in current.watch():
            seen.append(status.state)

    watching = asyncio.ensure_future(watch())
    await asyncio.sleep(0)
    for state in ("connecting", "open"):
        current.set(LinkStatus(state))
    await asyncio.sleep(0)
    current.set(LinkStatus("waiting"))
    current.set(LinkStatus("closed"))
    await watching
    assert seen == ["new", "connecting", "open", "waiting", "closed"]


async def test_who_comes_late_sees_only_the_end() -> None:
    current = CurrentStatus()
    current.set(LinkStatus("closed"))
    assert [status.state async for status in current.watch()] == ["closed"]


async def test_a_slow_watcher_forgets_the_oldest() -> None:
    current = CurrentStatus()
    watcher = aiter(current.watch())
    assert (await anext(watcher)).state == "new"
    for attempt in range(1000):
        current.set(LinkStatus("connecting", attempt))
    current.set(LinkStatus("closed"))
    assert [status.attempt async for status in watcher] == [*range(937, 1000), 0]


async def test_a_watcher_that_leaves_is_forgotten() -> None:
    current = CurrentStatus()
    async for _ in current.watch():
        break
    waiting = asyncio.ensure_future(current.change())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    watching = asyncio.ensure_future(_exhaust(current))
    await asyncio.sleep(0)
    watching.cancel()
    await asyncio.wait([watching])
    await eventually(lambda: not current._watchers)
    assert not current._waiters


async def test_a_change_wakes_everybody_who_waits() -> None:
    current = CurrentStatus()
    waiting = [asyncio.ensure_future(current.change()) for _ in range(3)]
    await asyncio.sleep(0)
    current.set(LinkStatus("open"))
    current.set(LinkStatus("waiting"))
    await asyncio.gather(*waiting)


async def _exhaust(current: CurrentStatus) -> None:
    async for _ in current.watch():
        pass
