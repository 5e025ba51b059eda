"""What may run beside a peer: a thread that competes for the interpreter, and a timer that measures the event loop."""

import asyncio
import json
import signal
import threading
import time

import settings

PERIOD = 0.001
"""Seconds between the timer's calls."""


def start() -> None:
    """Start what the environment asks for; to be called once, by the running event loop."""
    if settings.BUSY:
        threading.Thread(target=compute_forever, daemon=True).start()
    if settings.TIMER:
        Timer(asyncio.get_running_loop(), settings.TIMER).start()


def compute_forever() -> None:
    """Keep the interpreter busy with Python code, as a thread that computes does."""
    value = 1
    while True:
        value = value * 1103515245 % 2147483647 + 1


class Timer:
    """Calls itself a millisecond later, again and again, and notes how late each call is."""

    def __init__(self, loop: asyncio.AbstractEventLoop, path: str) -> None:
        self.loop = loop
        self.path = path
        self.due = 0.0
        self.lateness: list[float] = []

    def start(self) -> None:
        """Begin, and answer each ``SIGUSR1`` with a line in the file: the lateness since the one before."""
        self.loop.add_signal_handler(signal.SIGUSR1, self.report)
        self.schedule()

    def schedule(self) -> None:
        self.due = time.perf_counter() + PERIOD
        self.loop.call_later(PERIOD, self.fire)

    def fire(self) -> None:
        self.lateness.append(time.perf_counter() - self.due)
        self.schedule()

    def report(self) -> None:
        lateness, self.lateness = sorted(self.lateness), []
        p99 = max(0.0, lateness[len(lateness) * 99 // 100]) if lateness else None
        with open(self.path, "a", encoding="ascii") as file:
            file.write(json.dumps({"calls": len(lateness), "p99": p99}) + "\n")
