"""The measured clients as programs: they work with today's libraries, and judge what comes back."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import sys
from pathlib import Path

import pytest

import everwire

CLIENTS = Path(__file__).parents[2] / "bench" / "clients"
PROGRAMS = {
    "everwire": ["everwire_client.py", "--style", "callback"],
    "everwire-async": ["everwire_client.py", "--style", "async"],
    "websockets": ["websockets_client.py", "--style", "websockets"],
    "aiohttp": ["aiohttp_client.py"],
    "picows": ["picows_client.py"],
    "picows-async": ["websockets_client.py", "--style", "picows"],
}
INSTALLED = [name for name in PROGRAMS if importlib.util.find_spec(name.removesuffix("-async"))]


async def outcome(name: str, handler, *options: str) -> tuple[list[dict[str, float]], str]:
    """What a client prints when a server of that handler answers it: its events, and the last line of its errors."""
    program, *arguments = PROGRAMS[name]
    async with everwire.serve(handler, "127.0.0.1", 0, compression=None) as server:
        port = server.sockets[0].getsockname()[1]
        time = ["--seconds", "0.2", "--warmup", "0.05", "--connections", "3", "--port", str(port)]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(CLIENTS / program),
            "echo",
            *arguments,
            *options,
            *time,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "NO_PROXY": "127.0.0.1"},
        )
        out, err = await process.communicate()
    return [json.loads(line) for line in out.splitlines()], (err.decode().splitlines() or [""])[-1]


async def echo(ws) -> None:
    async for message in ws:
        await ws.send(message)


OPTIONS = [["--depth", "16"], ["--binary", "--size", "70000"], ["--size", "0"]]


@pytest.mark.parametrize("options", OPTIONS, ids=" ".join)
@pytest.mark.parametrize("name", INSTALLED)
async def test_a_client_keeps_messages_in_flight_and_reports(name: str, options: list[str]) -> None:
    events, error = await outcome(name, echo, "--verify", *options)
    assert [event["event"] for event in events] == ["measuring", "measured", "done"], error
    assert events[-1]["count"] > 0
    assert events[-1]["user_cpu"] + events[-1]["system_cpu"] > 0


@pytest.mark.parametrize("name", INSTALLED)
async def test_a_client_notices_a_wrong_byte(name: str) -> None:
    async def garble(ws) -> None:
        async for message in ws:
            await ws.send(message[:-1] + "!")

    events, error = await outcome(name, garble, "--verify")
    assert "done" not in [event["event"] for event in events]
    assert error == "client: an answer of 64 bytes is wrong"


@pytest.mark.parametrize("name", INSTALLED)
async def test_a_client_notices_that_a_connection_is_lost(name: str) -> None:
    async def leave(ws) -> None:
        for _ in range(100):
            await ws.send(await ws.recv())

    events, error = await outcome(name, leave)
    assert "done" not in [event["event"] for event in events]
    assert error


def test_these_are_the_clients_of_the_benchmark(module) -> None:
    assert {c.name: [c.program, *c.arguments] for c in module("client").CLIENTS} == PROGRAMS
