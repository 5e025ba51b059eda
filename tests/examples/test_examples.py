"""Every example, run as a person would run it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import sys
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from peer.timing import MS

import everwire

EXAMPLES = Path(__file__).parents[2] / "examples"


@contextlib.asynccontextmanager
async def running(name: str, *arguments: str, lines: int = 1) -> AsyncIterator[list[str]]:
    """Run an example; gives the first lines that it prints. It must then end on Ctrl-C, quickly and without a word."""
    process = await start(name, *arguments)
    assert process.stdout is not None
    try:
        printed = [await asyncio.wait_for(process.stdout.readline(), 20_000 * MS) for _ in range(lines)]
        yield [line.decode().rstrip("\n") for line in printed]
        process.send_signal(signal.SIGINT)
        rest, errors = await asyncio.wait_for(process.communicate(), 20_000 * MS)
        assert (process.returncode, rest, errors) == (0, b"", b"")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def finished(name: str, *arguments: str, **environment: str) -> tuple[int | None, str, str]:
    """Run an example that ends by itself: its status, output and errors."""
    process = await start(name, *arguments, **environment)
    output, errors = await asyncio.wait_for(process.communicate(), 20_000 * MS)
    return process.returncode, output.decode(), errors.decode()


async def start(name: str, *arguments: str, **environment: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        EXAMPLES / name,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | environment,
    )


async def fetch(url: str) -> tuple[int, str, str]:
    """Status, content type and text of a page."""

    def get() -> tuple[int, str, str]:
        try:
            with urllib.request.urlopen(url) as response:
                return response.status, response.headers["Content-Type"], response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers["Content-Type"], error.read().decode()

    return await asyncio.to_thread(get)


class TestChat:
    async def test_it_serves_its_page_and_nothing_else(self) -> None:
        async with running("chat.py", "--port", "0") as [url]:
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", url)
            status, kind, text = await fetch(url)
            assert (status, kind) == (200, "text/html; charset=utf-8")
            assert text == (EXAMPLES / "chat.html").read_text(encoding="utf-8")
            status, _, _ = await fetch(url + "chat.py")
            assert status == 404

    async def test_everybody_sees_every_line(self) -> None:
        async with (
            running("chat.py", "--port", "0") as [url],
            everwire.connect(url.replace("http", "ws") + "?name=Anna") as anna,
            everwire.connect(url.replace("http", "ws") + "?name=%20") as nameless,
        ):
            welcome, joined, other = [json.loads(await anna.recv()) for _ in range(3)]
            assert welcome == {"kind": "welcome", "id": joined["id"]}
            assert joined == {"kind": "joined", "id": welcome["id"], "people": 1, "name": "Anna"}
            assert (other["kind"], other["people"], other["name"]) == ("joined", 2, "Somebody")
            assert [json.loads(await nameless.recv())["kind"] for _ in range(2)] == ["welcome", "joined"]
            await nameless.send("hello")
            for ws in (anna, nameless):
                line = {"kind": "line", "id": other["id"], "people": 2, "name": "Somebody", "text": "hello"}
                assert json.loads(await ws.recv()) == line
            await nameless.close()
            assert json.loads(await anna.recv())["kind"] == "left"

    async def test_it_is_about_text(self) -> None:
        async with running("chat.py", "--port", "0") as [url], everwire.connect(url.replace("http", "ws")) as ws:
            await ws.send(b"\x00")
            await ws.wait_closed()
            assert ws.close_code == 1003

    async def test_a_line_that_is_too_long_closes_only_its_sender(self) -> None:
        async with (
            running("chat.py", "--port", "0") as [url],
            everwire.connect(url.replace("http", "ws")) as short,
            everwire.connect(url.replace("http", "ws")) as long,
        ):
            await long.send("x" * 8193)
            await long.wait_closed()
            assert long.close_code == 1009
            await short.send("still here")
            kinds = [json.loads(await short.recv())["kind"] for _ in range(5)]
            assert kinds[:3] == ["welcome", "joined", "joined"]
            assert sorted(kinds[3:]) == ["left", "line"]

    async def test_it_takes_a_free_port_if_its_own_is_taken(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            async with running("chat.py", "--port", str(port)) as [url]:
                assert url != f"http://127.0.0.1:{port}/"
                assert (await fetch(url))[0] == 200

    async def test_it_takes_the_port_that_it_is_given(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        async with running("chat.py", "--port", str(port)) as [url]:
            assert url == f"http://127.0.0.1:{port}/"


async def test_echo_and_client() -> None:
    async with running("echo.py", "0") as [url]:
        assert await finished("client.py", url, "one", "zwei ∿", "") == (0, "one\nzwei ∿\n\n", "")


async def test_listeners_hear_answers_and_the_end() -> None:
    async with running("echo.py", "0") as [url]:
        status, output, errors = await finished("listeners.py", url, "one", "zwei ∿")
        assert (status, output, errors) == (0, "one\nzwei ∿\nclosed: 1000 that was all\n", "")
    status, output, errors = await finished("listeners.py", url, "hello")
    assert (status, output) == (1, "closed: 1006\n")
    assert errors.startswith(f"{url}: ")
    assert "Traceback" not in errors


async def test_client_says_why_it_cannot_connect() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    status, output, errors = await finished("client.py", f"ws://127.0.0.1:{port}/", "hello")
    assert (status, output) == (1, "")
    assert errors.startswith(f"ws://127.0.0.1:{port}/: ")
    assert "Traceback" not in errors


async def test_client_without_arguments_says_how_it_is_used() -> None:
    status, _, errors = await finished("client.py")
    assert status == 1
    assert "Usage: client.py URL MESSAGE..." in errors


async def test_broadcast_ticks_for_everybody() -> None:
    async with (
        running("broadcast.py", "0", "0.01") as [url],
        everwire.connect(url) as one,
        everwire.connect(url) as two,
    ):
        seen = []
        for ws in (one, two):
            async for message in ws:
                seen.append(json.loads(message))
                if seen[-1]["people"] == 2:
                    break
        assert all(set(tick) == {"price", "people"} for tick in seen)


async def test_callbacks_store_batches_and_pause_meanwhile() -> None:
    async with running("callbacks.py", "0") as [url], everwire.connect(url) as ws:
        for number in range(250):
            await ws.send(str(number))
        assert [await ws.recv(), await ws.recv()] == ["stored 100", "stored 100"]
        for number in range(50):
            await ws.send(str(number))
        assert await ws.recv() == "stored 100"


async def test_tls_is_trusted_by_the_command_that_it_prints() -> None:
    async with running("tls.py", "0", lines=2) as [url, command]:
        trust, *words = command.split()
        name, _, certificate = trust.partition("=")
        assert name == "SSL_CERT_FILE"
        assert words == ["python", "examples/client.py", url, "hello"]
        assert await finished("client.py", url, "hello", SSL_CERT_FILE=certificate) == (0, "hello\n", "")
        assert oct(Path(certificate).with_name("key.pem").stat().st_mode & 0o777) == "0o600"
        status, _, errors = await finished("client.py", url, "hello")
        assert status == 1
        assert "certificate" in errors
    assert not os.path.exists(certificate)


async def test_reconnect_goes_on_when_its_server_comes_back() -> None:
    async def echo(ws: everwire.ServerConnection) -> None:
        async for message in ws:
            await ws.send(message)

    async with everwire.serve(echo, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        process = await start("reconnect.py", f"ws://127.0.0.1:{port}/", "0.01")
        assert process.stdout is not None
        assert [await process.stdout.readline() for _ in range(3)] == [b"connecting\n", b"open\n", b"reading 1\n"]
    try:
        async with asyncio.timeout(20_000 * MS):
            while not (line := await process.stdout.readline()).startswith(b"waiting"):
                assert line.startswith(b"reading")
            assert b"1001 (going away)" in line
            async with everwire.serve(echo, "127.0.0.1", port):
                while await process.stdout.readline() != b"open\n":
                    pass
                assert (await process.stdout.readline()).startswith(b"reading")
                process.send_signal(signal.SIGINT)
                _, errors = await process.communicate()
        assert (process.returncode, errors) == (0, b"")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_reconnect_without_arguments_says_how_it_is_used() -> None:
    status, _, errors = await finished("reconnect.py")
    assert status == 1
    assert "Usage: reconnect.py URL" in errors


async def test_health_is_answered_quietly_beside_connections() -> None:
    async with running("health.py", "0") as [url]:
        assert await fetch(url) == (200, "text/plain; charset=utf-8", "ok, 0 connections\n")
        async with everwire.connect(url.replace("http", "ws").removesuffix("health")) as ws:
            await ws.send("hello")
            assert await ws.recv() == "hello"
            assert (await fetch(url))[2] == "ok, 1 connections\n"
        status, _, text = await fetch(url.removesuffix("health"))
        assert status == 426
        assert "WebSocket" in text


def test_every_example_is_run_here() -> None:
    tests = Path(__file__).read_text(encoding="utf-8")
    for path in EXAMPLES.glob("*.py"):
        assert f'"{path.name}"' in tests, path.name


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_an_example_says_on_top_what_it_shows(path: Path) -> None:
    assert re.match(r'"""[A-Z].+[.\w]', path.read_text(encoding="utf-8"))
