"""What takes its time runs beside all other tests, in a process of its own, and is looked at in the end."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
_running: dict[str, subprocess.Popen[str]] = {}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "beside(program, *arguments): start it when the tests begin, and wait for it last"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put those last that wait for a program."""
    items.sort(key=lambda item: item.get_closest_marker("beside") is not None)


def pytest_collection_finish(session: pytest.Session) -> None:
    if session.config.option.collectonly:
        return
    for item in session.items:
        marker = item.get_closest_marker("beside")
        if marker is not None:
            program = HERE / marker.args[0]
            command = [sys.executable, "-X", "faulthandler", str(program), *marker.args[1:]]
            _running[item.nodeid] = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def pytest_sessionfinish() -> None:
    for process in _running.values():
        process.kill()
        process.communicate()


@pytest.fixture
def outcome(request: pytest.FixtureRequest) -> Callable[[float], str]:
    """Waits at most so many seconds for the program that was started for this test, and returns what it printed."""
    process = _running.pop(request.node.nodeid)

    def wait(seconds: float) -> str:
        try:
            printed, complaints = process.communicate(timeout=seconds)
        finally:
            process.kill()
            process.wait()
        assert (process.returncode, complaints) == (0, "")
        return printed

    return wait
