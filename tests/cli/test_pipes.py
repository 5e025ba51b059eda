"""Without a terminal: lines become messages, messages become lines, each side at the pace of the other."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import websockets.asyncio.server
from peer import frames
from peer.client import RawClient
from peer.http import Head
from peer.server import RawServer, answer
from peer.timing import MS, eventually

import everwire

from .conftest import Command, finish

Serve = Callable[..., Awaitable[str]]


async def test_every_line_is_a_message_and_every_message_a_line(command: Command, echo: str) -> None:
    outcome = await command.run("connect", echo, "--count", "3", stdin="eins\n\ngrüße".encode())
    assert (outcome.code, outcome.lines, outcome.err) == (0, ["eins", "", "grüße"], "")


async def test_a_server_of_websockets_is_talked_to(command: Command) -> None:
    async def handler(connection: websockets.asyncio.server.ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    async with websockets.asyncio.server.serve(handler, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        outcome = await command.run("connect", f"ws://127.0.0.1:{port}", "--count", "2", stdin=b"a\n" + b"x" * 5000)
    assert (outcome.code, outcome.lines) == (0, ["a", "x" * 5000])


async def test_without_wait_or_count_it_stays_until_the_server_closes(command: Command, serve: Serve) -> None:
    async def handler(connection: everwire.ServerConnection) -> None:
        await connection.send(f"got {await connection.recv()!r}")
        await asyncio.sleep(200 * MS)  # the command has nothing more to read, and stays all the same
        await connection.send("late")

    outcome = await command.run("connect", await serve(handler), stdin=b"hello\n")
    assert (outcome.code, outcome.lines) == (0, ["got 'hello'", "late"])


async def test_messages_of_the_command_line_are_sent_and_standard_input_is_not_read(
    command: Command, echo: str
) -> None:
    outcome = await command.run("connect", echo, "--send", "a", "--send", "b", "--count", "2", stdin=b"not this\n")
    assert (outcome.code, outcome.lines) == (0, ["a", "b"])


async def test_wait_is_for_answers_after_everything_was_sent(command: Command, echo: str) -> None:
    outcome = await command.run("connect", echo, "--wait", "0.5", stdin=b"a\nb\n")
    assert (outcome.code, outcome.lines) == (0, ["a", "b"])


async def test_fewer_messages_than_count_fail(command: Command, echo: str) -> None:
    outcome = await command.run("connect", echo, "--count", "2", "--wait", "0.2", "--send", "one")
    assert (outcome.code, outcome.lines) == (1, ["one"])
    assert outcome.err == "everwire: 1 of 2 messages came\n"


async def test_a_message_is_written_when_it_comes(command: Command, echo: str) -> None:
    process = await command.start("connect", echo)
    assert process.stdin is not None
    assert process.stdout is not None
    for text in (b"first\n", b"second\n"):
        process.stdin.write(text)
        async with asyncio.timeout(10):
            assert await process.stdout.readline() == text
    process.send_signal(signal.SIGINT)
    assert (await finish(process)).code == 130


async def test_a_binary_message_is_a_line_in_hexadecimal(command: Command, serve: Serve) -> None:
    async def handler(connection: everwire.ServerConnection) -> None:
        await connection.send(b"\x00\xff\n")

    assert (await command.run("connect", await serve(handler))).out == b"00ff0a\n"


async def test_binary_sends_standard_input_as_one_message(command: Command, serve: Serve) -> None:
    got: list[Any] = []

    async def handler(connection: everwire.ServerConnection) -> None:
        got.append(await connection.recv())
        await connection.send(b"\x00\n\x01")
        await connection.send("text")

    data = bytes(range(256)) * 1000
    outcome = await command.run("connect", await serve(handler), "--binary", stdin=data)
    assert got == [data]
    assert outcome.out == b"\x00\n\x01text"


async def test_binary_messages_of_the_command_line_are_hexadecimal_or_files(
    command: Command, serve: Serve, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"\xfe\xff")
    got: list[Any] = []

    async def handler(connection: everwire.ServerConnection) -> None:
        got.extend([await connection.recv(), await connection.recv()])

    await command.run("connect", await serve(handler), "--binary", "--send", "48 69", "--send", f"@{tmp_path}/file")
    assert got == [b"Hi", b"\xfe\xff"]


async def test_input_is_read_no_faster_than_the_server_takes_it(command: Command, serve: Serve) -> None:
    """A writer before a server that does not read is held up by the pipe: nothing piles up in between."""
    go = asyncio.Event()
    got = 0

    async def handler(connection: everwire.ServerConnection) -> None:
        nonlocal got
        await go.wait()
        async for _ in connection:
            got += 1

    lines, size = 40_000, 1000
    process = await command.start("connect", await serve(handler), "--wait", "0")
    assert process.stdin is not None
    written = 0

    async def write() -> None:
        nonlocal written
        assert process.stdin is not None
        for _ in range(lines // 100):
            process.stdin.write((b"x" * (size - 1) + b"\n") * 100)
            await process.stdin.drain()
            written += 100 * size

    writing = asyncio.ensure_future(write())
    held_up = 0
    async with asyncio.timeout(20):
        while not held_up or held_up != written:
            held_up = written
            await asyncio.sleep(300 * MS)
    assert not writing.done()
    assert written < 16_000_000  # of 40 MB: the buffers of pipe, sockets and server
    with open(f"/proc/{process.pid}/status") as status:
        resident = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
    assert resident < 100_000
    go.set()
    await writing
    assert (await finish(process)).code == 0
    assert got == lines


async def test_messages_are_received_no_faster_than_they_are_read(command: Command, serve: Serve) -> None:
    sent = 0
    total = 40_000

    async def handler(connection: everwire.ServerConnection) -> None:
        nonlocal sent
        for number in range(total):
            await connection.send(f"{number:0>999}")
            sent += 1

    process = await command.start("connect", await serve(handler))
    before = -1
    async with asyncio.timeout(20):
        while sent == 0 or before != sent:
            before = sent
            await asyncio.sleep(300 * MS)
    assert sent < 25_000
    outcome = await finish(process)
    assert outcome.code == 0
    assert [int(line) for line in outcome.lines] == list(range(total))


async def test_no_message_is_cut_when_the_time_is_over(command: Command, serve: Serve) -> None:
    sent = asyncio.Event()

    async def handler(connection: everwire.ServerConnection) -> None:
        await connection.send("x" * 500_000)
        sent.set()
        await connection.wait_closed()

    process = await command.start("connect", await serve(handler), "--wait", "0.2")
    assert process.stdin is not None
    process.stdin.close()
    async with asyncio.timeout(10):
        await sent.wait()
    await asyncio.sleep(600 * MS)  # its time is over, and the message does not fit into the pipe
    outcome = await finish(process)
    assert (outcome.code, outcome.out) == (0, b"x" * 500_000 + b"\n")


async def test_pings_are_answered_while_nobody_reads_the_output(command: Command, serve: Serve) -> None:
    alive = asyncio.Event()

    async def handler(connection: everwire.ServerConnection) -> None:
        for _ in range(3):  # more than the pipe takes, and less than it may hold back
            await connection.send("x" * 100_000)
        for _ in range(5):
            await (await connection.ping())
        alive.set()

    process = await command.start("connect", await serve(handler))
    async with asyncio.timeout(10):
        await alive.wait()
    assert (await finish(process)).code == 0


async def test_a_reader_that_goes_away_ends_it_quietly(command: Command, serve: Serve) -> None:
    closed = asyncio.Event()

    async def handler(connection: everwire.ServerConnection) -> None:
        await connection.send("one")
        await connection.wait_closed()  # nothing more comes: that the reader is gone is noticed without a write
        assert connection.close_code == 1000
        closed.set()

    line = f"'{sys.executable}' -m everwire connect {await serve(handler)} | head -1; echo ${{PIPESTATUS[0]}}"
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=command.environment,
    )  # fmt: skip
    async with asyncio.timeout(20):
        assert process.stdout is not None
        assert process.stderr is not None
        assert await process.stdout.read() == b"one\n0\n"
        assert await process.stderr.read() == b""
        await closed.wait()
        await process.wait()


async def test_a_reader_that_goes_away_in_a_flood_ends_it_quietly(command: Command, serve: Serve) -> None:
    async def handler(connection: everwire.ServerConnection) -> None:
        while True:
            await connection.send("x" * 1000)

    process = await command.start("connect", await serve(handler))
    assert process.stdout is not None
    await process.stdout.readline()
    process._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined]
    assert process.stderr is not None
    async with asyncio.timeout(20):
        assert await process.wait() == 0
        assert await process.stderr.read() == b""


async def test_standard_input_that_is_a_file_is_read_to_its_end(command: Command, echo: str, tmp_path: Path) -> None:
    (tmp_path / "lines").write_text("".join(f"{number}\n" for number in range(20_000)))
    with (tmp_path / "lines").open() as file:
        process = await command.start("connect", echo, "--count", "20000", stdin=file.fileno())
        outcome = await finish(process)
    assert outcome.lines == [str(number) for number in range(20_000)]


async def test_standard_input_may_be_closed(command: Command, serve: Serve) -> None:
    async def handler(connection: everwire.ServerConnection) -> None:
        await connection.send("hello")

    process = await command.start("connect", await serve(handler), preexec_fn=lambda: os.close(0))
    assert (await finish(process)).out == b"hello\n"


async def test_standard_output_must_be_open(command: Command, echo: str) -> None:
    process = await command.start("connect", echo, preexec_fn=lambda: os.close(1))
    outcome = await finish(process)
    assert outcome.code == 2
    assert "standard output is closed" in outcome.err


async def test_a_full_disk_is_told(command: Command, echo: str) -> None:
    with open("/dev/full", "wb") as full:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "everwire", "connect", echo, "--send", "x",
            stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE, env=command.environment,
        )  # fmt: skip
        _, err = await process.communicate()
    assert process.returncode == 1
    assert err == b"everwire: cannot go on: [Errno 28] No space left on device\n"


async def test_times_are_written_if_asked_for(command: Command, echo: str) -> None:
    outcome = await command.run("connect", echo, "--timestamps", "--send", "x", "--count", "1")
    assert len(outcome.lines[0]) == len("2026-01-01T00:00:00.000Z x")
    assert outcome.lines[0].endswith("Z x")


async def test_text_that_is_not_utf_8_is_refused_with_its_line(command: Command, echo: str) -> None:
    outcome = await command.run("connect", echo, stdin=b"fine\n\xff\n")
    assert outcome.code == 2
    assert outcome.err == "everwire: line 2 of standard input is not UTF-8: --binary sends bytes\n"


async def test_a_line_that_no_message_can_hold_is_refused(command: Command, echo: str) -> None:
    outcome = await command.run("connect", echo, stdin=b"x" * 17 * 1024 * 1024)
    assert outcome.code == 2
    assert "a message cannot be that long" in outcome.err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
async def test_a_signal_closes_with_1000(command: Command, serve: Serve, number: int, code: int) -> None:
    codes: list[int | None] = []

    async def handler(connection: everwire.ServerConnection) -> None:
        await connection.send("hello")
        await connection.wait_closed()
        codes.append(connection.close_code)

    process = await command.start("connect", await serve(handler))
    assert process.stdout is not None
    await process.stdout.readline()
    process.send_signal(number)
    outcome = await finish(process)
    assert (outcome.code, outcome.err) == (code, "")
    await eventually(lambda: codes == [1000])


async def test_a_second_interrupt_does_not_wait_for_the_server(command: Command) -> None:
    closing = asyncio.Event()

    async def behavior(client: RawClient, head: Head) -> None:
        client.write(answer(head) + frames.encode(frames.TEXT, b"hello", key=None))
        assert (await client.frame()).opcode == frames.CLOSE
        closing.set()  # and is never answered
        await client.reader.read()

    async with RawServer(behavior) as server:
        process = await command.start("connect", server.url)
        assert process.stdout is not None
        await process.stdout.readline()
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(10):
            await closing.wait()
        process.send_signal(signal.SIGINT)
        assert (await finish(process)).code == 130
