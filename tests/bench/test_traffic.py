"""What all measured clients share: messages are counted, timed and judged alike, and a lost one is a failure."""

from __future__ import annotations

import argparse
import asyncio
import json

import pytest


@pytest.fixture
def traffic(module):
    """Makes the traffic of a run, within a running loop."""
    made = module("traffic")

    def make(**options: object):
        defaults = {"port": 1, "connections": 2, "size": 64, "depth": 1, "seconds": 0.05, "warmup": 0.01}
        return made.Traffic(argparse.Namespace(**{**defaults, "binary": False, "verify": False, **options}))

    make.module, make.Failed = made, made.Failed
    return make


def echoing(answer=lambda flight: flight.traffic.message, lost: int = 0, doubled: int = 0):
    """A conversation with a server that answers everything, but for some messages on every connection."""

    async def converse(flight) -> None:
        await flight.departure()
        in_flight = flight.depth - lost + doubled
        while True:
            in_flight -= 0 if flight.landed(answer(flight)) else 1
            await (asyncio.sleep(0) if in_flight > 0 else asyncio.Event().wait())

    return converse


@pytest.mark.parametrize("depth", [1, 3, 16])
async def test_what_lands_in_the_window_is_counted(traffic, capsys, depth: int) -> None:
    run = traffic(depth=depth)
    landed = []

    def answer(flight) -> str:
        landed.append(flight)
        return flight.traffic.message

    await run.run(echoing(answer))
    measuring, measured, done = map(json.loads, capsys.readouterr().out.splitlines())
    assert (measuring, measured) == ({"event": "measuring"}, {"event": "measured"})
    assert done["event"] == "done"
    assert run.state().landed == len(landed)
    assert 0 < done["count"] < len(landed) - 2 * depth  # neither the warm-up nor what came later is in it
    assert done["rate"] == pytest.approx(done["count"] / done["seconds"])
    assert 0 < done["p50_us"] <= done["p99_us"]


async def test_a_message_that_never_comes_back_is_a_failure(traffic, monkeypatch) -> None:
    monkeypatch.setattr(traffic.module, "PATIENCE", 0.05)
    with pytest.raises(traffic.Failed, match="not every message came back"):
        await traffic(depth=3).run(echoing(lost=1))


async def test_a_message_that_comes_back_twice_is_a_failure(traffic) -> None:
    with pytest.raises(traffic.Failed, match="more messages came back than were sent"):
        await traffic(depth=3).run(echoing(doubled=1))


async def test_one_message_of_every_lap_is_timed(traffic) -> None:
    run = traffic(connections=1, depth=3)
    (flight,) = run.flights
    await flight.departure()
    for landed in range(1, 8):
        flight.landed(run.message)
        assert (run.state().landed, len(run.laps)) == (landed, landed // 3)


async def test_nobody_departs_before_all_are_open(traffic) -> None:
    run = traffic(connections=3)
    departures = [asyncio.ensure_future(flight.departure()) for flight in run.flights[:2]]
    await asyncio.sleep(0.01)
    assert not any(departure.done() for departure in departures)
    await run.flights[2].departure()
    await asyncio.gather(*departures)


@pytest.mark.parametrize("verify", [False, True])
async def test_an_answer_of_another_length_is_a_failure(traffic, verify: bool) -> None:
    with pytest.raises(traffic.Failed, match="5 bytes"):
        await traffic(verify=verify).run(echoing(lambda _: "short"))


async def test_a_wrong_byte_is_a_failure_when_verifying(traffic) -> None:
    wrong = echoing(lambda flight: "x" + flight.traffic.message[1:])
    await traffic().run(wrong)
    with pytest.raises(traffic.Failed, match="an answer of 64 bytes is wrong"):
        await traffic(verify=True).run(wrong)


async def test_bytes_instead_of_text_are_a_failure_when_verifying_and_a_view_of_them_is_not(traffic) -> None:
    await traffic(verify=True).run(echoing(lambda flight: memoryview(flight.traffic.payload)))
    with pytest.raises(traffic.Failed):
        await traffic(verify=True).run(echoing(lambda flight: flight.traffic.payload))


async def test_a_connection_that_ends_is_a_failure(traffic) -> None:
    async def converse(flight) -> None:
        await flight.departure()

    with pytest.raises(traffic.Failed, match="a connection was lost"):
        await traffic().run(converse)


async def test_a_connection_that_cannot_be_opened_is_a_failure(traffic) -> None:
    async def converse(flight) -> None:
        raise ConnectionRefusedError("nobody listens")

    with pytest.raises(ConnectionRefusedError):
        await traffic().run(converse)


async def test_an_exception_in_a_callback_is_a_failure(traffic) -> None:
    async def converse(flight) -> None:
        await flight.departure()
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await asyncio.Event().wait()

    with pytest.raises(traffic.Failed, match="division by zero"):
        await traffic().run(converse)
