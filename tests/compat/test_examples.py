"""The examples in the documentation of `websockets`, with their import changed, do what they are there to show."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import http.client
import importlib
import json
import os
import re
import signal
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from compat import upstream
from everwire.compat.websockets.asyncio.client import connect, unix_connect
from everwire.compat.websockets.asyncio.server import serve
from everwire.compat.websockets.exceptions import ConnectionClosedOK

pytestmark = pytest.mark.timeout(200)

ECHOES = {
    "asyncio/echo.py": {},
    "faq/health_check_server.py": {},
    "deployment/fly/app.py": {},
    "deployment/haproxy/app.py": {"SUPERVISOR_PROCESS_NAME": "worker_00"},
    "deployment/heroku/app.py": {"PORT": "0"},
    "deployment/koyeb/app.py": {"PORT": "0"},
    "deployment/kubernetes/app.py": {},
    "deployment/render/app.py": {},
    "deployment/supervisor/app.py": {},
}
"""Servers that say what they hear, with the environment that they are made for."""
HEALTHY = [
    "faq/health_check_server.py",
    "deployment/fly/app.py",
    "deployment/kubernetes/app.py",
    "tutorial/step3/app.py",
]
GREETERS = ["asyncio/server.py", "quick/server.py"]
ENDED_BY_SIGTERM = ["faq/shutdown_server.py", "deployment/fly/app.py", "tutorial/step3/app.py"]


@pytest.fixture(scope="session")
def examples() -> Path:
    """Where they are."""
    try:
        return upstream.tree() / "example"
    except upstream.Unavailable as error:
        pytest.fail(str(error), pytrace=False)


class Program:
    """An example that runs."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.port = 0

    async def listens(self) -> None:
        """Wait until it serves; take note of the port."""
        assert self.process.stderr is not None
        log = ""
        while "server listening on" not in log:
            line = (await self.process.stderr.readline()).decode()
            assert line, log
            log += line
        found = re.search(r":(\d+)$", log.strip())
        self.port = int(found[1]) if found else 0

    async def ended(self) -> tuple[int, str]:
        """Wait for its end: its exit code and what it printed."""
        output, _ = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, output.decode()

    def connect(self, target: str = "/", scheme: str = "ws", **options: object) -> connect:
        return connect(f"{scheme}://localhost:{self.port}{target}", **options)  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def running(
    program: Path, *arguments: str, cwd: Path | None = None, **environment: str
) -> AsyncIterator[Program]:
    """Run an example until the end of the block."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, Path(__file__).with_name("example.py"), program, *arguments,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **environment}, cwd=cwd,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield Program(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@contextlib.asynccontextmanager
async def serving(program: Path, **environment: str) -> AsyncIterator[Program]:
    """Run an example that serves."""
    async with running(program, **environment) as server:
        await server.listens()
        yield server


async def say(connection: object, **event: object) -> None:
    await connection.send(json.dumps(event))  # type: ignore[attr-defined]


async def hear(connection: object) -> dict[str, object]:
    event: dict[str, object] = json.loads(await connection.recv())  # type: ignore[attr-defined]
    return event


@pytest.mark.parametrize("name", ECHOES)
async def test_a_server_echoes(examples: Path, name: str) -> None:
    async with serving(examples / name, **ECHOES[name]) as server, server.connect() as client:
        for message in ("Hello!", b"\x00\x01"):
            await client.send(message)
            assert await client.recv() == message


async def test_a_server_on_a_unix_socket_echoes(examples: Path, tmp_path: Path) -> None:
    name = {"SUPERVISOR_PROCESS_NAME": "worker"}
    async with running(examples / "deployment" / "nginx" / "app.py", cwd=tmp_path, **name) as server:
        await server.listens()
        async with unix_connect(str(tmp_path / "worker.sock")) as client:
            await client.send("Hello!")
            assert await client.recv() == "Hello!"


@pytest.mark.parametrize("name", HEALTHY)
async def test_a_server_answers_health_checks(examples: Path, name: str) -> None:
    def check(port: int) -> tuple[int, bytes]:
        client = http.client.HTTPConnection("localhost", port, timeout=10)
        with contextlib.closing(client):
            client.request("GET", "/healthz")
            response = client.getresponse()
            return response.status, response.read()

    async with serving(examples / name, PORT="0") as server:
        assert await asyncio.to_thread(check, server.port) == (200, b"OK\n")


@pytest.mark.parametrize("name", GREETERS)
async def test_a_server_greets(examples: Path, name: str) -> None:
    async with serving(examples / name) as server:
        async with server.connect() as client:
            await client.send("Anna")
            assert await client.recv() == "Hello Anna!"
            with pytest.raises(ConnectionClosedOK):
                await client.recv()
        server.process.kill()
        assert (await server.ended())[1].splitlines() == ["<<< Anna", ">>> Hello Anna!"]


async def test_a_server_greets_over_tls(examples: Path) -> None:
    context = ssl.create_default_context(cafile=str(examples / "tls" / "localhost.pem"))
    async with serving(examples / "tls" / "server.py") as server:
        async with server.connect(scheme="wss", ssl=context) as client:
            await client.send("Anna")
            assert await client.recv() == "Hello Anna!"


async def test_a_server_counts_for_everybody(examples: Path) -> None:
    async with serving(examples / "quick" / "counter.py") as server, server.connect() as anna:
        assert await hear(anna) == {"type": "users", "count": 1}
        assert await hear(anna) == {"type": "value", "value": 0}
        async with server.connect() as bob:
            assert await hear(bob) == {"type": "users", "count": 2}
            assert await hear(bob) == {"type": "value", "value": 0}
            assert await hear(anna) == {"type": "users", "count": 2}
            await say(bob, action="plus")
            assert await hear(anna) == await hear(bob) == {"type": "value", "value": 1}
        assert await hear(anna) == {"type": "users", "count": 1}


@pytest.mark.parametrize("name", ["quick/show_time.py", "quick/sync_time.py"])
async def test_a_server_tells_the_time(examples: Path, name: str) -> None:
    async with serving(examples / name) as server, server.connect() as client:
        times = [datetime.datetime.fromisoformat(await client.recv()) for _ in range(2)]  # type: ignore[arg-type]
        assert times[0] < times[1]


async def test_the_tutorials_first_step_plays(examples: Path) -> None:
    async with serving(examples / "tutorial" / "step1" / "app.py") as server, server.connect() as client:
        for turn in range(7):
            await say(client, type="play", column=turn % 2)
            assert await hear(client) == {
                "type": "play", "player": "yellow" if turn % 2 else "red", "column": turn % 2, "row": turn // 2
            }  # fmt: skip
        assert await hear(client) == {"type": "win", "player": "red"}


@pytest.mark.parametrize("step", ["step2", "step3"])
async def test_the_tutorials_later_steps_play_and_are_watched(examples: Path, step: str) -> None:
    async with serving(examples / "tutorial" / step / "app.py", PORT="0") as server, server.connect() as red:
        await say(red, type="init")
        keys = await hear(red)
        async with server.connect() as yellow, server.connect() as watcher:
            await say(yellow, type="init", join=keys["join"])
            await say(watcher, type="init", watch=keys["watch"])
            await say(red, type="play", column=3)
            first = {"type": "play", "player": "red", "column": 3, "row": 0}
            assert await hear(red) == await hear(yellow) == await hear(watcher) == first
            await say(yellow, type="play", column=3)
            second = {"type": "play", "player": "yellow", "column": 3, "row": 1}
            assert await hear(red) == await hear(yellow) == await hear(watcher) == second
        async with server.connect() as stranger:
            await say(stranger, type="init", join="nothing")
            assert await hear(stranger) == {"type": "error", "message": "Game not found."}


@pytest.mark.parametrize("name", ENDED_BY_SIGTERM)
async def test_a_server_shuts_down_in_order(examples: Path, name: str) -> None:
    async with serving(examples / name, PORT="0") as server, server.connect() as client:
        server.process.send_signal(signal.SIGTERM)
        with pytest.raises(ConnectionClosedOK) as closed:
            await client.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001
        assert (await server.ended())[0] == 0


async def test_a_server_that_is_interrupted_says_goodbye(examples: Path) -> None:
    async with serving(examples / "asyncio" / "echo.py") as server, server.connect() as client:
        server.process.send_signal(signal.SIGINT)
        await client.wait_closed()
        assert client.close_code == 1001


async def echo(connection: object) -> None:
    async for message in connection:  # type: ignore[attr-defined]
        await connection.send(message)  # type: ignore[attr-defined]


async def test_a_client_says_hello(examples: Path) -> None:
    async with serve(echo, "127.0.0.1", 0) as server:
        async with running(examples / "asyncio" / "hello.py", EXAMPLE_URL=url(server)) as client:
            assert await client.ended() == (0, "Hello world!\n")


async def test_a_client_asks_for_a_name(examples: Path) -> None:
    async with serve(echo, "127.0.0.1", 0) as server:
        async with running(examples / "asyncio" / "client.py", EXAMPLE_URL=url(server)) as client:
            output, _ = await client.process.communicate(b"Anna\n")
            assert output.decode().endswith(">>> Anna\n<<< Anna\n")


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="when the client is ready for the signal is read from /proc"
)
async def test_a_client_shuts_down_in_order(examples: Path) -> None:
    codes: asyncio.Queue[int | None] = asyncio.Queue()

    async def handler(connection: object) -> None:
        codes.put_nowait(None)
        await connection.wait_closed()  # type: ignore[attr-defined]
        codes.put_nowait(connection.close_code)  # type: ignore[attr-defined]

    async with serve(handler, "127.0.0.1", 0) as server:
        async with running(examples / "faq" / "shutdown_client.py", EXAMPLE_URL=url(server)) as client:
            await codes.get()
            while not handles(client.process.pid, signal.SIGTERM):
                await asyncio.sleep(0.01)
            client.process.send_signal(signal.SIGTERM)
            assert await codes.get() == 1000
            assert (await client.ended())[0] == 0


def handles(process: int, number: int) -> bool:
    """Whether a process has a handler for a signal."""
    status = Path(f"/proc/{process}/status").read_text()
    caught = re.search(r"^SigCgt:\s+(\w+)$", status, flags=re.MULTILINE)
    return caught is not None and bool(int(caught[1], 16) >> (number - 1) & 1)


async def test_many_clients_count_messages(examples: Path) -> None:
    heard = set()

    async def handler(connection: object) -> None:
        async for message in connection:  # type: ignore[attr-defined]
            heard.add(message)
            await connection.send(message)  # type: ignore[attr-defined]

    async with serve(handler, "127.0.0.1", 0) as server:
        program = examples / "deployment" / "kubernetes" / "benchmark.py"
        async with running(program, "10", "5", EXAMPLE_URL=url(server)) as client:
            assert (await client.ended())[0] == 0
    assert heard == {f"{number}:{message}" for number in range(10) for message in range(5)}


def url(server: object) -> str:
    return "ws://{}:{}".format(*server.sockets[0].getsockname())  # type: ignore[attr-defined]


OTHER_APIS = ("websockets.sync", "websockets.legacy", "websockets.trio")
PROTOCOL_CLASSES = {"ClientProtocol", "ServerProtocol"}


def test_what_the_documentation_imports_is_there(examples: Path) -> None:
    """Of the asyncio API: the others are not offered, nor are the protocol classes."""
    imports = set()
    for page in (examples.parent / "docs").rglob("*.rst"):
        for module, names in re.findall(
            r"^ +from (websockets[\w.]*) import ([\w, ]+)$", page.read_text(), flags=re.MULTILINE
        ):
            if page.parent.name != "project" and page.stem != "upgrade" and not module.startswith(OTHER_APIS):
                imports |= {(module, name.split(" as ")[0].strip()) for name in names.split(",")}
    assert len(imports) >= 10
    for module, name in imports:
        if name not in PROTOCOL_CLASSES:
            assert hasattr(importlib.import_module(f"everwire.compat.{module}"), name) or (
                importlib.import_module(f"everwire.compat.{module}.{name}")
            )
