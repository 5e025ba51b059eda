"""What the exit code is, and what is said, for every way in which it can go wrong."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from peer import frames
from peer.client import RawClient
from peer.http import Head
from peer.server import RawServer, answer

import everwire

from .conftest import Command, finish

Serve = Callable[..., Awaitable[str]]


@pytest.mark.parametrize("code", [1000, 1001])
async def test_an_orderly_end_is_0_and_says_nothing(command: Command, serve: Serve, code: int) -> None:
    async def handler(connection: everwire.ServerConnection) -> None:
        await connection.close(code)

    outcome = await command.run("connect", await serve(handler))
    assert (outcome.code, outcome.err) == (0, "")


async def test_a_close_without_a_code_is_0(command: Command) -> None:
    async def behavior(client: RawClient, head: Head) -> None:
        client.write(answer(head) + frames.close(None, key=None))
        await client.closed()

    async with RawServer(behavior) as server:
        assert (await command.run("connect", server.url)).code == 0


@pytest.mark.parametrize(
    ("code", "reason", "said"),
    [
        (1011, "", "1011 (internal error). Something unexpected failed on the side that closed."),
        (1008, "no", "1008 (policy violation) no. The side that closed got a message that its rules forbid; no other"),
        (4001, "log in", "4001 (private use) log in. The application itself chose this code"),
    ],
)
async def test_an_error_code_is_1_and_explained(
    command: Command, serve: Serve, code: int, reason: str, said: str
) -> None:
    async def handler(connection: everwire.ServerConnection) -> None:
        await connection.close(code, reason)

    outcome = await command.run("connect", await serve(handler))
    assert outcome.code == 1
    assert outcome.err.startswith(f"everwire: Closed by the other side: {said}")


async def test_a_lost_connection_is_1(command: Command, serve: Serve) -> None:
    async def handler(connection: everwire.ServerConnection) -> None:
        await connection.send("one")
        connection.abort()

    outcome = await command.run("connect", await serve(handler))
    assert (outcome.code, outcome.lines) == (1, ["one"])
    assert outcome.err == "everwire: The connection was lost: it ended without a closing handshake.\n"


async def test_a_close_that_is_not_answered_is_1(command: Command) -> None:
    async def behavior(client: RawClient, head: Head) -> None:
        client.write(answer(head))
        await client.frame()

    async with RawServer(behavior) as server:
        outcome = await command.run("connect", server.url, "--wait", "0")
    assert outcome.code == 1
    assert outcome.err == "everwire: Closed: 1000 (OK). The other side did not answer.\n"


async def test_a_message_beyond_max_size_is_1_and_names_the_option(command: Command, serve: Serve) -> None:
    async def handler(connection: everwire.ServerConnection) -> None:
        await connection.send("x" * 101)
        await connection.wait_closed()

    url = await serve(handler)
    outcome = await command.run("connect", url, "--max-size", "100")
    assert outcome.code == 1
    assert outcome.err.startswith(
        "everwire: Closed by us: 1009 (message too big) message of more than 100 bytes; --max-size"
    )
    assert (await command.run("connect", url, "--max-size", "101", "--count", "1")).code == 0


async def test_frames_that_break_the_rules_are_1(command: Command) -> None:
    async def behavior(client: RawClient, head: Head) -> None:
        client.write(answer(head) + frames.encode(frames.TEXT, b"masked"))
        await client.closed()

    async with RawServer(behavior) as server:
        outcome = await command.run("connect", server.url)
    assert outcome.code == 1
    assert outcome.err.startswith("everwire: Closed by us: 1002 (protocol error)")


async def test_nobody_who_listens_is_3(command: Command) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        outcome = await command.run("connect", f"ws://127.0.0.1:{port}")
    assert outcome.code == 3
    assert outcome.err == (
        f"everwire: cannot connect to ws://127.0.0.1:{port}: nothing listens on 127.0.0.1 port {port}: "
        "is the server running?\n"
    )


async def test_a_host_that_there_is_not_is_3(command: Command) -> None:
    outcome = await command.run("connect", "ws://host.invalid/")
    assert outcome.code == 3
    assert "there is no host host.invalid: is the name right" in outcome.err


async def test_a_server_that_does_not_answer_is_3(command: Command) -> None:
    async def behavior(client: RawClient, head: Head) -> None:
        await client.reader.read()

    async with RawServer(behavior) as server:
        outcome = await command.run("connect", server.url, "--timeout", "0.3")
    assert outcome.code == 3
    assert "no connection within 0.3 s: is the address right? --timeout waits longer" in outcome.err


@contextlib.asynccontextmanager
async def refusing(status: str, body: bytes = b"", *fields: str) -> AsyncIterator[str]:
    """A server that refuses everybody like this; where it is."""

    async def behavior(client: RawClient, head: Head) -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields, "", ""]
        client.write("\r\n".join(lines).encode() + body)
        await client.reader.read()

    async with RawServer(behavior) as server:
        yield server.url


@pytest.mark.parametrize(
    ("status", "fields", "said"),
    [
        ("401 Unauthorized", [], "401 Unauthorized; it wants to know who you are: try --token"),
        ("403 Forbidden", [], "403 Forbidden; it does not let you in: try --token, or --origin"),
        ("404 Not Found", [], "404 Not Found; is the path right?"),
        ("200 OK", [], "200 OK; that is an ordinary page: is the path right?"),
        ("418 I'm a teapot", [], "418 I'm a teapot\n"),
        ("503 Busy", ["Retry-After: 30"], "503 Busy; try again after 30 s"),
    ],
)
async def test_a_refusal_is_4_with_its_status_and_a_hint(
    command: Command, status: str, fields: list[str], said: str
) -> None:
    async with refusing(status, b"", *fields) as url:
        outcome = await command.run("connect", url)
    assert outcome.code == 4
    assert outcome.err.startswith(f"everwire: {url} refused: {said}")


async def test_the_body_of_a_refusal_is_shown_but_not_all_of_a_page(command: Command) -> None:
    body = "".join(f"line {number}\n" for number in range(15)) + "x" * 1000
    async with refusing("400 Bad Request", body.encode()) as url:
        outcome = await command.run("connect", url)
    assert [line for line in outcome.err.splitlines() if line.startswith("  line")] == [
        f"  line {n}" for n in range(10)
    ]
    assert outcome.err.endswith("  … 6 more lines\n")


async def test_a_server_that_is_none_for_websockets_is_4(command: Command) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        outcome = await command.run("connect", url)
    assert outcome.code == 4
    assert outcome.err.startswith(f"everwire: {url} did not take a WebSocket: ")
    assert outcome.err.endswith(f"; if it speaks TLS, it is {url.replace('ws:', 'wss:')}\n")


async def test_a_wrong_answer_to_the_handshake_is_4(command: Command) -> None:
    async def behavior(client: RawClient, head: Head) -> None:
        client.write(answer(head, "Sec-WebSocket-Accept: wrong", without=("Sec-WebSocket-Accept",)))
        await client.reader.read()

    async with RawServer(behavior) as server:
        outcome = await command.run("connect", server.url)
    assert outcome.code == 4
    assert "Sec-WebSocket-Accept" in outcome.err


async def test_a_server_that_hangs_up_in_the_handshake_is_4(command: Command) -> None:
    async def behavior(client: RawClient, head: Head) -> None:
        return

    async with RawServer(behavior) as server:
        outcome = await command.run("connect", server.url)
    assert outcome.code == 4
    assert "the server hung up during the opening handshake" in outcome.err


async def test_an_interrupt_while_connecting_is_130(command: Command) -> None:
    arrived = asyncio.Event()

    async def behavior(client: RawClient, head: Head) -> None:
        arrived.set()
        await client.reader.read()

    async with RawServer(behavior) as server:
        process = await command.start("connect", server.url)
        async with asyncio.timeout(10):
            await arrived.wait()
        process.send_signal(signal.SIGINT)
        outcome = await finish(process)
    assert (outcome.code, outcome.err) == (130, "")
