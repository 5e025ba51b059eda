"""Watching how things stand."""

from __future__ import annotations

import asyncio

from peer.timing import eventually

from everwire.reconnect.status import LinkStatus, Standing


async def test_a_watcher_sees_the_status_now_and_every_further_one() -> None:
    standing = Standing()
    seen: list[str] = []

    async def watch() -> None:
        async for status in standing.watch():
            seen.append(status.state)

    watching = asyncio.ensure_future(watch())
    await asyncio.sleep(0)
    for state in ("connecting", "open"):
        standing.set(LinkStatus(state))
    await asyncio.sleep(0)
    standing.set(LinkStatus("waiting"))
    standing.set(LinkStatus("closed"))
    await watching
    assert seen == ["new", "connecting", "open", "waiting", "closed"]


async def test_who_comes_late_sees_only_the_end() -> None:
    standing = Standing()
    standing.set(LinkStatus("closed"))
    assert [status.state async for status in standing.watch()] == ["closed"]


async def test_a_slow_watcher_forgets_the_oldest() -> None:
    standing = Standing()
    watcher = aiter(standing.watch())
    assert (await anext(watcher)).state == "new"
    for attempt in range(1000):
        standing.set(LinkStatus("connecting", attempt))
    standing.set(LinkStatus("closed"))
    assert [status.attempt async for status in watcher] == [*range(937, 1000), 0]


async def test_a_watcher_that_leaves_is_forgotten() -> None:
    standing = Standing()
    async for _ in standing.watch():
        break
    waiting = asyncio.ensure_future(standing.change())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    watching = asyncio.ensure_future(_exhaust(standing))
    await asyncio.sleep(0)
    watching.cancel()
    await asyncio.wait([watching])
    await eventually(lambda: not standing._watchers)
    assert not standing._waiters


async def test_a_change_wakes_everybody_who_waits() -> None:
    standing = Standing()
    waiting = [asyncio.ensure_future(standing.change()) for _ in range(3)]
    await asyncio.sleep(0)
    standing.set(LinkStatus("open"))
    standing.set(LinkStatus("waiting"))
    await asyncio.gather(*waiting)


async def _exhaust(standing: Standing) -> None:
    async for _ in standing.watch():
        pass
