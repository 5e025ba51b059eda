"""On a terminal: what a person sees, and what keys do."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from peer import frames
from peer.client import RawClient
from peer.http import Head
from peer.server import RawServer, answer
from peer.timing import MS, eventually

import everwire

from .conftest import Command

Serve = Callable[..., Awaitable[str]]

ENTER, CTRL_C, CTRL_D, CTRL_R, UP = "\r", "\x03", "\x04", "\x12", "\x1b[A"
COLOR = re.compile(rb"\x1b\[(?:[0-9;]*;)?(?:3[0-7]|9[0-7]|4[0-7])(?:;[0-9;]*)?m")


async def test_it_greets_shows_both_directions_and_says_goodbye(command: Command, echo: str) -> None:
    async with command.terminal("connect", echo) as terminal:
        at = await terminal.see(f"Connecting to {echo}\n")
        at = await terminal.see(" ms. /help lists commands, Ctrl-D ends.\n", at)
        at = await terminal.see("> ", at)
        terminal.type(f"hello{ENTER}")
        at = await terminal.see("> hello\n", at)
        at = await terminal.see("< hello\n", at)
        terminal.type(CTRL_D)
        await terminal.see("Closed: 1000 (OK).\n", at)
        assert await terminal.code() == 0


@pytest.mark.parametrize(("key", "code"), [(CTRL_D, 0), (CTRL_C, 130)])
async def test_ctrl_d_and_ctrl_c_close_with_1000(command: Command, serve: Serve, key: str, code: int) -> None:
    codes: list[int | None] = []

    async def handler(connection: everwire.ServerConnection) -> None:
        await connection.wait_closed()
        codes.append(connection.close_code)

    async with command.terminal("connect", await serve(handler)) as terminal:
        await terminal.ready()
        terminal.type(key)
        await terminal.see("Closed: 1000 (OK).")
        assert await terminal.code() == code
    await eventually(lambda: codes == [1000])


async def test_json_is_colored(command: Command, serve: Serve) -> None:
    async def handler(connection: everwire.ServerConnection) -> None:
        await connection.send('{"key":[1.10,"text",null]}')
        await connection.wait_closed()

    async with command.terminal("connect", await serve(handler)) as terminal:
        await terminal.see('< {"key": [1.10, "text", null]}\n')
        assert re.search(rb'\x1b\[[0-9;]*36m"key"', terminal.raw)
        assert re.search(rb"\x1b\[[0-9;]*33m1\.10", terminal.raw)
        assert re.search(rb'\x1b\[[0-9;]*32m"text"', terminal.raw)


async def test_there_is_no_color_with_no_color(command: Command, echo: str) -> None:
    async with command.terminal("connect", echo, NO_COLOR="1") as terminal:
        await terminal.ready()
        terminal.type(f'{{"a":1}}{ENTER}')
        at = await terminal.see('> {"a": 1}\n')
        await terminal.see('< {"a": 1}\n', at)
        terminal.type(CTRL_D)
        assert await terminal.code() == 0
        assert not COLOR.search(terminal.raw)


async def test_times_are_shown_if_asked_for(command: Command, echo: str) -> None:
    async with command.terminal("connect", echo, "--timestamps") as terminal:
        await terminal.ready()
        terminal.type(f"hello{ENTER}")
        await terminal.see("< hello")
        assert re.search(r"\d\d:\d\d:\d\d\.\d{3} > hello\n", terminal.text)
        assert re.search(r"\d\d:\d\d:\d\d\.\d{3} < hello\n", terminal.text)


async def test_nothing_that_a_server_says_controls_the_terminal(command: Command, serve: Serve) -> None:
    """Clearing the screen, its title, another character set, an answer-back, colors, C1, writing from right to left."""

    async def handler(connection: everwire.ServerConnection) -> None:
        await connection.send("one\x1b[2J\x1b]0;title\x07\x1b(0\x05\x9b31m\u202etwo\rthree\n< fake")
        await connection.send('{"\x9b31m\u202ekey":"\x7f"}')
        await connection.close(4000, "why\x1b[2J\x9b2J")

    async with command.terminal("connect", await serve(handler)) as terminal:
        await terminal.see(r"< one\x1b[2J\x1b]0;title\x07\x1b(0\x05\x9b31m\u202etwo\rthree" "\n  < fake\n")
        await terminal.see(r'< {"\u009b31m\u202ekey": "\u007f"}' "\n")
        await terminal.see(r"Closed by the other side: 4000 (private use) why\x1b[2J\x9b2J. ")
        assert await terminal.code() == 1
        for nasty in ("\x1b[2J", "\x1b]0;title", "\x1b(0", "\x05", "\x07", "\x9b", "\u202e", "\x7f"):
            assert nasty.encode() not in terminal.raw


async def test_nothing_in_a_refusal_controls_the_terminal(command: Command, serve: Serve) -> None:
    async def handler(connection: everwire.ServerConnection) -> None: ...

    def refuse(connection: everwire.ServerConnection, request: everwire.Request) -> everwire.Response:
        return connection.respond(403, "no\x1b[2J\x9b31m\u202e\n")

    async with command.terminal("connect", await serve(handler, process_request=refuse)) as terminal:
        await terminal.see(r"  no\x1b[2J\x9b31m\u202e" "\n")
        assert await terminal.code() == 4
        assert b"\x1b[2J" not in terminal.raw


async def test_a_binary_message_is_shown_with_length_and_preview(command: Command, serve: Serve) -> None:
    async def handler(connection: everwire.ServerConnection) -> None:
        await connection.send(b"Hi\x00\x1b")
        await connection.send(bytes(range(0x41, 0x41 + 26)) * 10)
        await connection.wait_closed()

    async with command.terminal("connect", await serve(handler)) as terminal:
        at = await terminal.see("< binary, 4 bytes  48 69 00 1b  Hi..\n")
        at = await terminal.see(
            "< binary, 260 bytes\n  41 42 43 44 45 46 47 48 49 4a 4b 4c 4d 4e 4f 50  ABCDEFGHIJ", at
        )
        await terminal.see("  … and 196 more bytes\n", at)


async def test_ping_shows_the_round_trip(command: Command, echo: str) -> None:
    async with command.terminal("connect", echo) as terminal:
        await terminal.ready()
        terminal.type(f"/ping{ENTER}")
        await terminal.see("pong after ")
        assert re.search(r"pong after [\d.]+ ms\n", terminal.text)


async def test_ping_with_seconds_shows_it_at_the_right_again_and_again_until_off(command: Command) -> None:
    pings = 0

    async def behavior(client: RawClient, head: Head) -> None:
        nonlocal pings
        client.write(answer(head))
        while (frame := await client.frame(within=20)).opcode == frames.PING:
            pings += 1
            client.send(frames.PONG, frame.payload, key=None)
        assert frame.payload == b"done"

    async with (
        RawServer(behavior) as server,
        command.terminal("connect", server.url, "--ping-interval", "0") as terminal,
    ):
        at = await terminal.ready()
        terminal.type(f"/ping 0.1{ENTER}")
        await eventually(lambda: pings >= 3)
        assert re.search(r"> +[\d.]+ ms", terminal.text[at - 2 :])
        terminal.type(f"/ping off{ENTER}/help{ENTER}")
        await terminal.see("Ctrl-D, Ctrl-C   close and end\n")
        before = pings
        await asyncio.sleep(300 * MS)  # nothing announces that no ping comes
        assert pings == before
        terminal.type(f"done{ENTER}")
        await terminal.see("The connection was lost")


async def test_a_ping_that_is_not_answered_does_not_hold_up_the_line(command: Command, serve: Serve) -> None:
    async def handler(connection: everwire.ServerConnection) -> None:
        assert await connection.recv() == "hello"
        await connection.send("still here")
        await connection.wait_closed()

    async with command.terminal("connect", await serve(handler)) as terminal:
        await terminal.ready()
        terminal.type(f"/ping{ENTER}hello{ENTER}")
        await terminal.see("< still here\n")


@pytest.mark.parametrize(
    ("line", "code", "reason"),
    [("/close", 1000, ""), ("/close 4002", 4002, ""), ("/close 4002 see you", 4002, "see you")],
)
async def test_close_takes_a_code_and_a_reason(
    command: Command, serve: Serve, line: str, code: int, reason: str
) -> None:
    got: list[tuple[int | None, str | None]] = []

    async def handler(connection: everwire.ServerConnection) -> None:
        await connection.wait_closed()
        got.append((connection.close_code, connection.close_reason))

    async with command.terminal("connect", await serve(handler)) as terminal:
        await terminal.ready()
        terminal.type(line + ENTER)
        await terminal.see(f"Closed: {code} (")
        assert await terminal.code() == 0
    await eventually(lambda: got == [(code, reason)])


async def test_bytes_and_files_are_sent_by_binary(command: Command, serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"\x01\x02")
    got: list[Any] = []

    async def handler(connection: everwire.ServerConnection) -> None:
        got.extend([message async for message in connection])

    async with command.terminal("connect", await serve(handler)) as terminal:
        await terminal.ready()
        terminal.type(f"/binary 48 69{ENTER}/binary @{tmp_path}/file{ENTER}//text{ENTER}")
        await terminal.see("> binary, 2 bytes  01 02")
        terminal.type(CTRL_D)
        assert await terminal.code() == 0
    await eventually(lambda: got == [b"Hi", b"\x01\x02", "/text"])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("/nope", "there is no command /nope: /help lists them, //nope sends this as a text"),
        ("/close x", "/close takes a code from 1000 to 4999 first; not 'x'"),
        ("/close 1005x", "/close takes a code"),
        ("/close 2000", "2000 is not a close code to send"),
        ("/close 4000 " + "x" * 124, "a close reason has at most 123 bytes"),
        ("/binary xy", "'xy' is not hexadecimal"),
        ("/binary @/nonexistent", "No such file or directory"),
        ("/ping soon", "/ping takes the seconds between pings"),
    ],
)
async def test_a_command_that_cannot_be_obeyed_is_explained_and_nothing_is_sent(
    command: Command, serve: Serve, line: str, said: str
) -> None:
    got: list[Any] = []

    async def handler(connection: everwire.ServerConnection) -> None:
        got.extend([message async for message in connection])

    async with command.terminal("connect", await serve(handler)) as terminal:
        await terminal.ready()
        terminal.type(line + ENTER)
        await terminal.see(said)
        terminal.type(f"fine{ENTER}")
        await terminal.see("> fine\n")
        terminal.type(CTRL_D)
        assert await terminal.code() == 0
    await eventually(lambda: got == ["fine"])


async def test_the_history_is_kept_for_the_owner_alone(command: Command, echo: str) -> None:
    async with command.terminal("connect", echo) as terminal:
        await terminal.ready()
        terminal.type(f"first\u00fc{ENTER}")
        await terminal.see("< first")
        terminal.type(f"second{ENTER}")
        await terminal.see("< second")
        terminal.type(CTRL_D)
        assert await terminal.code() == 0
    file = Path(command.environment["XDG_STATE_HOME"], "everwire", "history")
    assert file.read_text().splitlines() == ['"first\\u00fc"', '"second"']
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    async with command.terminal("connect", echo) as terminal:
        at = await terminal.ready()
        terminal.type(UP)
        at = await terminal.see("second", at)
        terminal.type(UP)
        at = await terminal.see("first", at)
        terminal.type(ENTER)
        await terminal.see("< firstü\n", at)


async def test_the_history_is_searched(command: Command, echo: str) -> None:
    async with command.terminal("connect", echo) as terminal:
        await terminal.ready()
        for text in ("needle", "straw", "hay"):
            terminal.type(text + ENTER)
            await terminal.see(f"< {text}\n")
        at = len(terminal.text)
        terminal.type(f"{CTRL_R}nee")
        await terminal.see("search", at)
        terminal.type(ENTER)
        await terminal.see("needle", at)
        terminal.type(ENTER)
        await terminal.see("< needle\n", at)


async def test_a_history_that_cannot_be_kept_is_told_and_does_not_matter(
    command: Command, echo: str, tmp_path: Path
) -> None:
    (tmp_path / "state").write_text("a file where a folder should be")
    async with command.terminal("connect", echo) as terminal:
        await terminal.see("History is not kept: ")
        terminal.type(f"hello{ENTER}")
        await terminal.see("< hello\n")


async def test_a_server_that_closes_ends_it_while_a_line_is_being_typed(command: Command, serve: Serve) -> None:
    go = asyncio.Event()

    async def handler(connection: everwire.ServerConnection) -> None:
        await go.wait()
        await connection.send("last words")
        await connection.close(1011, "oops")

    async with command.terminal("connect", await serve(handler)) as terminal:
        await terminal.ready()
        terminal.type("half a li")
        await terminal.see("half a li")
        go.set()
        at = await terminal.see("< last words\n")
        await terminal.see(
            "Closed by the other side: 1011 (internal error) oops. Something unexpected failed on the side that closed.",
            at,
        )
        assert await terminal.code() == 1


async def test_messages_come_above_the_line_that_is_being_typed(command: Command, serve: Serve) -> None:
    go = asyncio.Event()

    async def handler(connection: everwire.ServerConnection) -> None:
        await go.wait()
        await connection.send("news")
        assert await connection.recv() == "half a line"
        await connection.send("got it")
        await connection.wait_closed()

    async with command.terminal("connect", await serve(handler)) as terminal:
        await terminal.ready()
        terminal.type("half a")
        await terminal.see("half a")
        go.set()
        at = await terminal.see("< news\n")
        await terminal.see("> half a", at)
        terminal.type(f" line{ENTER}")
        await terminal.see("< got it\n", at)


async def test_all_of_a_flood_is_shown_in_order(command: Command, serve: Serve) -> None:
    async def handler(connection: everwire.ServerConnection) -> None:
        for number in range(5000):
            await connection.send(f"number {number}")

    async with command.terminal("connect", await serve(handler)) as terminal:
        await terminal.see("Closed: 1000 (OK).")
        assert await terminal.code() == 0
        assert re.findall(r"< number (\d+)\n", terminal.text) == [str(number) for number in range(5000)]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
async def test_a_signal_closes_and_leaves_the_terminal_as_it_was(
    command: Command, serve: Serve, number: int, code: int
) -> None:
    codes: list[int | None] = []

    async def handler(connection: everwire.ServerConnection) -> None:
        await connection.wait_closed()
        codes.append(connection.close_code)

    async with command.terminal("connect", await serve(handler)) as terminal:
        before = terminal.modes
        await terminal.ready()
        assert terminal.modes != before
        os.kill(terminal.pid, number)
        assert await terminal.code() == code
        assert terminal.modes == before
    await eventually(lambda: codes == [1000])


async def test_a_terminal_that_goes_away_ends_it(command: Command, serve: Serve) -> None:
    closed = asyncio.Event()

    async def handler(connection: everwire.ServerConnection) -> None:
        while True:
            try:
                await connection.send("still there?")
                await asyncio.sleep(20 * MS)
            except everwire.ConnectionClosed:
                closed.set()
                return

    async with command.terminal("connect", await serve(handler)) as terminal:
        await terminal.see("< still there?\n")
        terminal.vanish()
        assert await terminal.code() != 0
        async with asyncio.timeout(5):
            await closed.wait()


async def test_lines_that_were_typed_are_sent_before_ctrl_d_counts(
    command: Command, serve: Serve, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(os.urandom(1_000_000))
    go = asyncio.Event()
    got: list[int] = []

    async def handler(connection: everwire.ServerConnection) -> None:
        async with asyncio.timeout(20):
            await go.wait()
        got.extend([len(message) async for message in connection])

    async with command.terminal("connect", await serve(handler)) as terminal:
        await terminal.ready()
        # More than any system keeps between two programs.
        terminal.type(f"/binary @{tmp_path}/file{ENTER}" * 60 + f"last{ENTER}")
        await terminal.see("> binary, 1,000,000 bytes")
        terminal.type(CTRL_D)
        await terminal.quiet()
        assert "> last" not in terminal.text
        go.set()
        assert await terminal.code() == 0
    await eventually(lambda: got == [1_000_000] * 60 + [4])


async def test_lines_that_are_pasted_are_one_message(command: Command, serve: Serve) -> None:
    got: list[Any] = []

    async def handler(connection: everwire.ServerConnection) -> None:
        got.extend([message async for message in connection])

    async with command.terminal("connect", await serve(handler)) as terminal:
        await terminal.ready()
        terminal.type(f'\x1b[200~{{"a":\n1}}\x1b[201~{ENTER}{CTRL_D}')
        assert await terminal.code() == 0
    await eventually(lambda: got == ['{"a":\n1}'])


async def test_a_dumb_terminal_is_enough(command: Command, echo: str) -> None:
    async with command.terminal("connect", echo, TERM="dumb") as terminal:
        await terminal.ready()
        terminal.type(f"hello{ENTER}")
        await terminal.see("< hello\n")
        terminal.type(CTRL_D)
        assert await terminal.code() == 0


async def test_without_a_prompt_messages_look_the_same_on_a_terminal(command: Command, serve: Serve) -> None:
    async def handler(connection: everwire.ServerConnection) -> None:
        await connection.send('{"a":1}')
        await connection.send("\x1b[2J")

    async with command.terminal("connect", await serve(handler), "--count", "2") as terminal:
        at = await terminal.see('< {"a": 1}\n')
        await terminal.see(r"< \x1b[2J" "\n", at)
        assert await terminal.code() == 0
        assert b"\x1b[2J" not in terminal.raw
