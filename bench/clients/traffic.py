"""What all clients do alike: keep messages in flight, look at the clock, and report.

A client is a coroutine function that converses on one connection: it connects, waits for its ``departure``, sends as many
messages as are to be in flight, and answers each one that lands with the next, if ``landed`` says so. That is called for each
of them; it counts and times them, so that this costs every client the same.
"""

import argparse
import asyncio
import json
import resource
import sys
from array import array
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any

import uvloop

PATIENCE = 10.0
"""Seconds that the last messages may take."""

MESSAGE_LIMIT = 16 << 20
"""Bytes of the largest message; above every scenario's, so that no limit is part of a figure."""

Message = str | bytes | memoryview
Converse = Callable[["Flight"], Coroutine[Any, Any, None]]


class Failed(Exception):
    """The run is void; the text says why."""


class Traffic:
    """All connections of one run.

    Attributes:
        options: the command line.
        url: where to connect.
        payload: what every message holds.
        message: the same as it is sent: ``str`` for a text message.
        laps: how long messages were in flight, in nanoseconds.
        failure: done with an exception once the run is void.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.url = f"ws://127.0.0.1:{options.port}/echo"
        self.payload = payload(options.size, options.binary)
        self.message: str | bytes = self.payload if options.binary else self.payload.decode()
        self.laps = array("Q")
        kind = Compared if options.verify else Flight
        self.flights = [kind(self) for _ in range(options.connections)]
        self.loop = asyncio.get_running_loop()
        self.loop.set_exception_handler(self.report)
        self.failure: asyncio.Future[None] = self.loop.create_future()
        self.all_open = asyncio.Event()
        self.left_to_open = options.connections
        self.all_landed = asyncio.Event()
        self.left_to_land = options.connections

    async def run(self, converse: Converse) -> None:
        """Converse on every connection, and print the figures of the measured window.

        Raises:
            Failed: a message came back wrong, or a connection was lost.
        """
        conversations = [asyncio.ensure_future(converse(flight)) for flight in self.flights]
        opened = asyncio.ensure_future(self.all_open.wait())
        await self.watch(conversations, opened)
        await self.watch(conversations, asyncio.ensure_future(asyncio.sleep(self.options.warmup)))
        print(json.dumps({"event": "measuring"}), flush=True)
        before = self.state()
        await self.watch(conversations, asyncio.ensure_future(asyncio.sleep(self.options.seconds)))
        after = self.state()
        print(json.dumps({"event": "measured"}), flush=True)
        await self.drain(conversations)
        print(json.dumps({"event": "done", **self.figures(before, after)}), flush=True)

    async def drain(self, conversations: Sequence[asyncio.Future[None]]) -> None:
        """Send nothing more, and wait until everything in flight has landed."""
        for flight in self.flights:
            flight.goes_on = False
        landed = asyncio.ensure_future(self.all_landed.wait())
        patience = self.loop.call_later(PATIENCE, self.fail, "not every message came back")
        await self.watch(conversations, landed)
        patience.cancel()

    async def watch(self, conversations: Sequence[asyncio.Future[None]], until: asyncio.Future[Any]) -> None:
        """Wait for ``until``; everything else that ends before it is a failure."""
        done, _ = await asyncio.wait([until, self.failure, *conversations], return_when=asyncio.FIRST_COMPLETED)
        for ended in done - {until}:
            ended.result()
            raise Failed("a connection was lost")

    def fail(self, why: str) -> None:
        """Make the run void."""
        if not self.failure.done():
            self.failure.set_exception(Failed(why))

    def report(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What a callback raised does not stay with the event loop."""
        self.fail(str(context.get("exception") or context["message"]))

    def state(self) -> "State":
        """Where the run is now."""
        in_lap = sum(flight.depth - flight.left for flight in self.flights)
        used = resource.getrusage(resource.RUSAGE_SELF)
        landed = len(self.laps) * self.options.depth + in_lap
        return State(perf_counter_ns(), landed, len(self.laps), used.ru_utime, used.ru_stime)

    def figures(self, before: "State", after: "State") -> dict[str, float]:
        """What happened between two states."""
        seconds = (after.now - before.now) / 1e9
        count = after.landed - before.landed
        laps = sorted(self.laps[before.laps : after.laps])
        return {
            "seconds": seconds,
            "count": count,
            "rate": count / seconds,
            "user_cpu": after.user - before.user,
            "system_cpu": after.system - before.system,
            "p50_us": percentile(laps, 0.5),
            "p99_us": percentile(laps, 0.99),
        }


@dataclass(frozen=True)
class State:
    """A moment: nanoseconds, messages that have landed, laps, seconds of CPU time."""

    now: int
    landed: int
    laps: int
    user: float
    system: float


class Flight:
    """The messages in flight on one connection.

    Answers come in order and each is followed by a new message, so a message is in flight from one answer to the ``depth``-th
    after it. One message of every ``depth`` is timed: the clock is looked at once a lap, not once a message.
    """

    __slots__ = ("began", "depth", "goes_on", "in_flight", "left", "length", "noted", "traffic")

    def __init__(self, traffic: Traffic) -> None:
        self.traffic = traffic
        self.length = len(traffic.payload)
        self.depth: int = traffic.options.depth
        self.left = self.depth
        self.in_flight = self.depth
        self.goes_on = True
        self.noted = traffic.laps.append
        self.began = 0

    async def departure(self) -> None:
        """Return once all connections are open: now is the time to send ``depth`` messages."""
        self.traffic.left_to_open -= 1
        if not self.traffic.left_to_open:
            self.traffic.all_open.set()
        await self.traffic.all_open.wait()
        self.began = perf_counter_ns()

    def landed(self, message: Message) -> bool:
        """Note an answer, and return whether to send the next; to be called for each of them."""
        if len(message) != self.length:
            self.traffic.fail(f"a message of {len(message)} bytes instead of {self.length}")
        self.left -= 1
        if not self.left:
            self.left = self.depth
            now = perf_counter_ns()
            self.noted(now - self.began)
            self.began = now
        return self.goes_on or self.drain()

    def drain(self) -> bool:
        """Note that one of the last messages has landed."""
        self.in_flight -= 1
        if not self.in_flight:
            self.traffic.left_to_land -= 1
            if not self.traffic.left_to_land:
                self.traffic.all_landed.set()
        elif self.in_flight < 0:
            self.traffic.fail("more messages came back than were sent")
        return False


class Compared(Flight):
    """The same with every byte compared."""

    __slots__ = ()

    def landed(self, message: Message) -> bool:
        """Note an answer, if it is right."""
        # A view is what picows hands out, of a text message as well; the others are held to the right type.
        expected = self.traffic.payload if isinstance(message, memoryview) else self.traffic.message
        if message != expected:
            self.traffic.fail(f"an answer of {len(message)} bytes is wrong")
        return super().landed(message)


def fly(prepare: Callable[[Traffic], Converse]) -> None:
    """Run a client as the command line says; the last line of the error output says why it failed."""
    try:
        uvloop.run(_fly(prepare))
    except (Failed, OSError) as error:
        sys.exit(f"client: {error}")


async def _fly(prepare: Callable[[Traffic], Converse]) -> None:
    traffic = Traffic(parse())
    await traffic.run(prepare(traffic))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Keeps messages in flight; prints one JSON object for each event.")
    parser.add_argument("work", choices=["echo"])
    parser.add_argument("--style", default="", help="the way of using the library, where there are several")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--connections", type=int, default=100)
    parser.add_argument("--size", type=int, default=64, help="bytes of each message [64]")
    parser.add_argument("--depth", type=int, default=1, help="messages in flight on each connection [1]")
    parser.add_argument("--seconds", type=float, default=2.0, help="measured time [2]")
    parser.add_argument("--warmup", type=float, default=0.5, help="time before it [0.5]")
    parser.add_argument("--binary", action="store_true", help="binary messages instead of text")
    parser.add_argument("--verify", action="store_true", help="compare every byte that comes back")
    return parser.parse_args()


def payload(size: int, binary: bool) -> bytes:
    """Bytes without a short period, so that a shifted or repeated piece is noticed; letters for a text message."""
    state = 0x9E3779B97F4A7C15
    made = bytearray()
    for _ in range(size):
        state = (state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        high = state >> 56
        made.append(high if binary else ord("a") + high % 26)
    return bytes(made)


def percentile(laps: list[int], share: float) -> float:
    """The lap that the given share of all is shorter than, in microseconds."""
    return laps[int(len(laps) * share)] / 1e3 if laps else 0.0
