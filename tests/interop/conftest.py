"""One test for all the programs of a kind: servers that are not ours, and clients."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .clients import CLIENTS, JAVA, Connect
from .servers import SERVERS, Server


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> Server:
    """Every server that is not ours."""
    return SERVERS[request.param]


@pytest.fixture(params=[pytest.param(name, marks=JAVA) if name == "java" else name for name in CLIENTS])
def client(request: pytest.FixtureRequest) -> Connect:
    """Every client that is not ours."""
    return CLIENTS[request.param]


@pytest.fixture
def socket_folder() -> Iterator[Path]:
    """A folder whose name is short enough for the address of a Unix socket."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)
