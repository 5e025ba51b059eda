"""``async for ws in connect(...)``: as users of the ``websockets`` package know it, with delays that also hold after a loss."""

from __future__ import annotations

import asyncio
import functools
import importlib
import itertools
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from peer.service import Service
from peer.timing import MS, eventually

import everwire
from everwire.client.backoff import Pace

MODULE = importlib.import_module("everwire.client.connect")
"""That of :func:`everwire.connect`: the function has the shorter name in its package."""


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The delays between attempts, which take no time."""
    delays: list[float] = []
    sleep = asyncio.sleep

    async def note(delay: float) -> None:
        delays.append(delay)
        await sleep(0)

    class Asyncio:
        def __getattr__(self, name: str) -> Any:
            return note if name == "sleep" else getattr(asyncio, name)

    monkeypatch.setattr(MODULE, "asyncio", Asyncio())
    return delays


def growing() -> Iterator[float]:
    return itertools.count(1.0)


async def test_each_round_has_a_connection_of_its_own(service: Service, slept: list[float]) -> None:
    async for ws in everwire.connect(service.url):
        await ws.send(str(len(service.connections)))
        await eventually(lambda: len(service.received) == len(service.connections))
        if len(service.received) < 3:
            continue
        break
    assert service.received == ["1", "2", "3"]
    await eventually(lambda: [ws.close_code for ws in service.connections] == [1000, 1000, 1000])


async def test_leaving_a_good_connection_costs_no_delay(service: Service, slept: list[float]) -> None:
    async for _ in everwire.connect(service.url, reconnect_delays=growing):
        if len(service.requests) == 4:
            break
    assert slept == []


async def test_a_lost_connection_delays_the_next_until_one_is_healthy(
    service: Service, slept: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MODULE, "Pace", functools.partial(Pace, healthy=100 * MS))
    lives = iter([0, 0, 150 * MS, 0])
    async for ws in everwire.connect(service.url, reconnect_delays=growing):
        if len(service.requests) == 5:
            break
        await asyncio.sleep(next(lives))
        (await service.connected(len(service.requests))).abort()
        await ws.wait_closed()
    assert slept == [1, 2, 1, 2]


async def test_failed_attempts_are_repeated_after_delays(service: Service, slept: list[float]) -> None:
    service.refusals = [(503, {}), (500, {}), (429, {}), (408, {})]
    async for _ in everwire.connect(service.url, reconnect_delays=growing):
        break
    assert slept == [1, 2, 3, 4]


async def test_retry_after_comes_on_top(service: Service, slept: list[float]) -> None:
    service.refusals = [(503, {"Retry-After": "30"}), (429, {"Retry-After": "1000000"}), (500, {"Retry-After": "30"})]
    async for _ in everwire.connect(service.url, reconnect_delays=growing):
        break
    assert slept == [31, 302, 3]


@pytest.mark.parametrize("status", [401, 403, 404, 410])
async def test_a_final_refusal_is_raised(service: Service, status: int, slept: list[float]) -> None:
    service.refusals = [(503, {}), (status, {})]
    with pytest.raises(everwire.HandshakeFailed) as raised:
        async for _ in everwire.connect(service.url):
            pass
    assert raised.value.status == status
    assert len(slept) == 1


async def test_process_exception_may_go_on_replace_or_raise(service: Service, slept: list[float]) -> None:
    answers: Iterator[Any] = iter([None, None, PermissionError("replaced")])
    seen: list[Exception] = []

    def process(error: Exception) -> Exception | None:
        seen.append(error)
        return next(answers)  # type: ignore[no-any-return]

    service.refusals = [(404, {})] * 9
    with pytest.raises(PermissionError, match="replaced") as raised:
        async for _ in everwire.connect(service.url, process_exception=process):
            pass
    assert raised.value.__cause__ is seen[2]

    def fail(error: Exception) -> Exception | None:
        raise KeyError("raised")

    with pytest.raises(KeyError, match="raised") as other:
        async for _ in everwire.connect(service.url, process_exception=fail):
            pass
    assert isinstance(other.value.__cause__, everwire.HandshakeFailed)


async def test_an_error_in_the_body_leaves_the_loop_and_closes(service: Service) -> None:
    asked: list[Exception] = []
    with pytest.raises(ZeroDivisionError):
        async for _ in everwire.connect(service.url, process_exception=lambda error: asked.append(error)):  # type: ignore[func-returns-value]
            raise ZeroDivisionError
    assert asked == []
    await eventually(lambda: service.last.close_code == 1000)


async def test_leaving_the_loop_closes(service: Service) -> None:
    connecting = everwire.connect(service.url)
    async for ws in connecting:
        left = ws
        break
    await left.wait_closed()
    assert left.close_code == 1000
    # And it can be entered again.
    async for ws in connecting:
        assert ws.state is everwire.State.OPEN
        break
    await ws.wait_closed()


@pytest.mark.parametrize("moment", ["connecting", "body", "delay"])
async def test_cancelling_ends_it_in_every_state(service: Service, moment: str) -> None:
    if moment == "delay":
        service.refusals = [(503, {})]
    inside = asyncio.Event()

    async def run() -> None:
        async for ws in everwire.connect(service.url, reconnect_delays=lambda: itertools.repeat(1000.0)):
            inside.set()
            await ws.recv()

    running = asyncio.ensure_future(run())
    if moment == "body":
        await inside.wait()
    elif moment == "delay":
        await eventually(lambda: service.requests)
        await asyncio.sleep(20 * MS)
    else:
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await eventually(lambda: all(ws.close_code is not None for ws in service.connections))


async def test_where_the_delays_end_the_error_is_raised(service: Service, slept: list[float]) -> None:
    service.refusals = [(503, {})] * 3
    with pytest.raises(everwire.HandshakeFailed):
        async for _ in everwire.connect(service.url, reconnect_delays=lambda: iter([1.0, 2.0])):
            pass
    assert slept == [1, 2]


async def test_where_the_delays_end_after_a_loss_the_loop_ends(service: Service, slept: list[float]) -> None:
    async for ws in everwire.connect(service.url, reconnect_delays=lambda: iter([1.0])):
        (await service.connected(len(service.requests))).abort()
        await ws.wait_closed()
    assert len(service.connections) == 2


async def test_it_says_in_the_log_why_and_for_how_long_it_waits(
    service: Service, slept: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    service.refusals = [(503, {})]
    with caplog.at_level(logging.INFO, "everwire.client"):
        async for ws in everwire.connect(service.url, reconnect_delays=growing):
            if len(service.connections) == 2:
                break
            (await service.connected(1)).abort()
            await ws.wait_closed()
    said = [record.getMessage() for record in caplog.records if "reconnecting" in record.getMessage()]
    assert "connect failed (" in said[0]
    assert "503" in said[0]
    assert said[0].endswith("reconnecting in 1.0 seconds")
    assert said[1] == "connection lost; reconnecting in 2.0 seconds"


async def test_a_server_that_restarts_is_found_again(service: Service) -> None:
    codes: list[int] = []
    async for ws in everwire.connect(service.url, reconnect_delays=lambda: itertools.repeat(2 * MS)):
        try:
            await ws.send("hello")
            await eventually(lambda: len(service.received) == len(service.connections))
            if len(service.received) == 5:
                break
            await service.stop()
            asyncio.get_running_loop().call_later(5 * MS, lambda: asyncio.ensure_future(service.start()))
            await ws.recv()
        except everwire.ConnectionClosed as closed:
            codes.append(closed.code)
    assert codes == [1001] * 4
