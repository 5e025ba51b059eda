"""What holds for every test."""

from __future__ import annotations

import gc
import signal

# A shell starts what runs in its background with SIGINT ignored, and programs that are started from here would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """Keep thousands of tests out of the garbage collector's way: a test that calls it would pay for all of them each time."""
    gc.collect()
    gc.freeze()
