"""``--json``: a line of JSON for everything, for programs to read."""

from __future__ import annotations

import base64
import datetime
import json
from collections.abc import Awaitable, Callable

import everwire

from .conftest import Command

Serve = Callable[..., Awaitable[str]]


async def test_every_received_message_is_an_object_in_a_line(command: Command, serve: Serve) -> None:
    async def handler(connection: everwire.ServerConnection) -> None:
        await connection.send('{"a":\n1}')
        await connection.send(b"\x00\xff")

    before = datetime.datetime.now(datetime.UTC) - datetime.timedelta(milliseconds=1)
    outcome = await command.run("connect", await serve(handler), "--json")
    text, binary = map(json.loads, outcome.lines)
    times = [datetime.datetime.fromisoformat(record.pop("time")) for record in (text, binary)]
    assert before <= times[0] <= times[1] <= datetime.datetime.now(datetime.UTC)
    assert text == {"direction": "received", "type": "text", "data": '{"a":\n1}'}
    assert binary == {"direction": "received", "type": "binary", "data": base64.b64encode(b"\x00\xff").decode()}


async def test_verbose_adds_what_was_sent_and_the_end(command: Command, serve: Serve) -> None:
    async def handler(connection: everwire.ServerConnection) -> None:
        assert await connection.recv() == "[1]"
        await connection.close(4001, "bye")

    outcome = await command.run("connect", await serve(handler), "--json", "--verbose", stdin=b"[1]\n")
    assert outcome.code == 1
    sent, end = map(json.loads, outcome.lines)
    assert (sent["direction"], sent["type"], sent["data"]) == ("sent", "text", "[1]")
    assert (end["direction"], end["type"], end["code"], end["reason"]) == ("received", "close", 4001, "bye")


async def test_the_end_that_we_chose_is_a_sent_one(command: Command, echo: str) -> None:
    outcome = await command.run("connect", echo, "--json", "--verbose", "--wait", "0", stdin=b"")
    (end,) = map(json.loads, outcome.lines)
    assert (end["direction"], end["type"], end["code"]) == ("sent", "close", 1000)


async def test_a_lost_connection_ends_with_1006(command: Command, serve: Serve) -> None:
    async def handler(connection: everwire.ServerConnection) -> None:
        connection.abort()

    (end,) = map(json.loads, (await command.run("connect", await serve(handler), "--json", "-v")).lines)
    assert (end["direction"], end["type"], end["code"]) == ("received", "close", 1006)


async def test_a_line_that_is_not_json_ends_it_and_those_before_were_sent(command: Command, serve: Serve) -> None:
    got: list[object] = []

    async def handler(connection: everwire.ServerConnection) -> None:
        got.extend([message async for message in connection])

    outcome = await command.run("connect", await serve(handler), "--json", stdin=b"1\n{}\n{oops}\n4\n")
    assert outcome.code == 2
    assert outcome.err.startswith("everwire: line 3 of standard input is not JSON: ")
    assert got == ["1", "{}"]


async def test_no_line_can_control_a_terminal_and_all_mean_what_was_sent(command: Command, serve: Serve) -> None:
    nasty = '\x1b[2J\x9b31m\u202e\U000e0001\x7f \\ " grüße 🦀'

    async def handler(connection: everwire.ServerConnection) -> None:
        await connection.send(nasty)

    outcome = await command.run("connect", await serve(handler), "--json")
    assert json.loads(outcome.lines[0])["data"] == nasty
    assert not set(outcome.out.decode()) & set("\x1b\x9b\u202e\U000e0001\x7f")
    assert "grüße 🦀" in outcome.out.decode()
