"""What the options put into the request, and what is shown of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from peer import frames
from peer.client import RawClient
from peer.connecting import ConnectProxy
from peer.http import Head
from peer.server import RawServer, answer
from peer.timing import MS

import everwire

from .conftest import Command, Outcome

Serve = Callable[..., Awaitable[str]]


class Ask:
    """Runs the command with options, and keeps what came of it.

    Attributes:
        outcome: of the last run.
    """

    outcome: Outcome

    def __init__(self, command: Command, serve: Serve) -> None:
        self._command = command
        self._serve = serve

    async def __call__(self, *options: str, target: str = "", **server: Any) -> everwire.Request:
        """The request that these options make."""
        requests: list[everwire.Request] = []

        async def handler(connection: everwire.ServerConnection) -> None:
            assert connection.request is not None
            requests.append(connection.request)

        self.outcome = await self._command.run("connect", await self._serve(handler, **server) + target, *options)
        assert self.outcome.code == 0, self.outcome
        return requests[0]


@pytest.fixture
def ask(command: Command, serve: Serve) -> Ask:
    """Asks a server what the request was."""
    return Ask(command, serve)


async def test_headers_are_sent_each(ask: Ask) -> None:
    request = await ask("-H", "X-One: 1", "--header", "X-Two:  a: b ", "--header", "X-One: again")
    assert request.headers.get_all("X-One") == ["1", "again"]
    assert request.headers["X-Two"] == "a: b"


async def test_a_user_agent_of_ones_own_replaces_ours(ask: Ask) -> None:
    assert (await ask("-H", "User-Agent: mine")).headers.get_all("User-Agent") == ["mine"]


async def test_the_origin_is_sent(ask: Ask) -> None:
    request = await ask("--origin", "https://example.com", origins=["https://example.com"])
    assert request.headers["Origin"] == "https://example.com"


async def test_subprotocols_are_offered_in_order(ask: Ask) -> None:
    request = await ask("--subprotocol", "b", "--subprotocol", "a")
    assert request.headers["Sec-WebSocket-Protocol"].replace(" ", "") == "b,a"


async def test_compression_is_offered_unless_it_is_not_wanted(ask: Ask) -> None:
    assert "permessage-deflate" in (await ask()).headers["Sec-WebSocket-Extensions"]
    assert "Sec-WebSocket-Extensions" not in (await ask("--no-compression")).headers


async def test_a_token_becomes_a_bearer(ask: Ask) -> None:
    assert (await ask("--token", "s3cret")).headers["Authorization"] == "Bearer s3cret"


async def test_a_token_may_be_in_a_file(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret\n")
    assert (await ask("--token", f"@{tmp_path}/token")).headers["Authorization"] == "Bearer s3cret"


async def test_a_token_may_be_in_the_environment(ask: Ask, command: Command) -> None:
    command.environment["EVERWIRE_TOKEN"] = "s3cret"
    assert (await ask()).headers["Authorization"] == "Bearer s3cret"


async def test_a_field_counts_more_than_a_token_of_the_environment(ask: Ask, command: Command) -> None:
    command.environment["EVERWIRE_TOKEN"] = "s3cret"
    assert (await ask("-H", "Authorization: Basic eDp5")).headers.get_all("Authorization") == ["Basic eDp5"]


async def test_verbose_shows_the_handshake_and_no_secrets(ask: Ask) -> None:
    secret = "s3cret"
    await ask(
        "-v", "--token", secret, "-H", f"Cookie: session={secret}", "-H", f"X-Api-Key: {secret}", "-H", "X-Other: seen",
        target=f"path?access_token={secret}&page=3",
    )  # fmt: skip
    lines = ask.outcome.err.splitlines()
    assert "> GET /path?access_token=***&page=3 HTTP/1.1" in lines
    assert "> Authorization: Bearer ***" in lines
    assert "> Cookie: ***" in lines
    assert "> X-Api-Key: ***" in lines
    assert "> X-Other: seen" in lines
    assert "< HTTP/1.1 101 Switching Protocols" in lines
    assert "everwire: Closed: 1000 (OK). The purpose of the connection is fulfilled." in lines
    assert secret not in ask.outcome.err


JWT = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.c2ln"


@pytest.mark.parametrize("choice", ["chat", "bearer", "s3cret", JWT])
async def test_verbose_shows_no_token_among_subprotocols(choice: str, ask: Ask) -> None:
    offered = ["chat", "bearer", "s3cret", JWT, "bearer.s3cret"]
    options = [part for name in offered for part in ("--subprotocol", name)]
    request = await ask("-v", *options, subprotocols=[choice])
    assert request.headers["Sec-WebSocket-Protocol"].replace(" ", "").split(",") == offered
    assert "> Sec-WebSocket-Protocol: chat, bearer, ***, ***, ***" in ask.outcome.err.splitlines()
    assert "s3cret" not in ask.outcome.err
    assert JWT not in ask.outcome.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("WS://user:s3cret@127.0.0.1:1/",),
        ("ws://user:s3@s3cret@127.0.0.1:1/",),
        ("ws://user:s3cret/x@h/",),
        ("HTTP://user:s3cret@h/",),
        ("https://user:s3cret@h/?token=s3cret",),
        ("ws://user:s3cret@h/#f",),
        ("user:s3cret@127.0.0.1:1",),
        ("/?token=s3cret",),
        ("ws://user:s3cret@localhost/?token=s3cret", "--insecure"),
        ("ws://localhost:1/", "-H", "Authorization s3cret"),
        ("ws://localhost:1/", "--token", "s3cret x"),
        ("ws://localhost:1/", "--subprotocol", "bearer", "--subprotocol", "s3cret x"),
        ("ws://localhost:1/", "--proxy", "ftp://user:s3cret@p"),
        ("ws://h.test/", "--proxy", "http://user:s3cret@127.0.0.1:1"),
    ],
)
async def test_no_error_shows_a_secret(arguments: tuple[str, ...], command: Command) -> None:
    outcome = await command.run("connect", *arguments, "-v", "--timeout", "5")
    assert outcome.code in (2, 3)
    assert "s3cret" not in outcome.err + outcome.out.decode()


async def test_what_a_refusal_repeats_of_the_url_is_masked_too(command: Command, serve: Serve) -> None:
    async def handler(connection: everwire.ServerConnection) -> None: ...

    url = await serve(
        handler,
        process_request=lambda connection, request: connection.respond(404, f"no {url}{request.path} for {JWT}"),
    )
    outcome = await command.run("connect", f"{url}?token=s3cret", "-v")
    assert outcome.code == 4
    assert "s3cret" not in outcome.err
    assert JWT not in outcome.err


async def test_verbose_shows_a_refusal_too(command: Command, serve: Serve) -> None:
    async def handler(connection: everwire.ServerConnection) -> None: ...

    url = await serve(handler, process_request=lambda connection, request: connection.respond(403, "no\n"))
    outcome = await command.run("connect", url, "-v", "--token", "s3cret")
    assert outcome.code == 4
    assert "> Authorization: Bearer ***" in outcome.err
    assert "< HTTP/1.1 403 Forbidden" in outcome.err
    assert "s3cret" not in outcome.err


async def test_a_password_in_the_url_is_sent_and_not_shown(command: Command, serve: Serve) -> None:
    got: list[str] = []

    async def handler(connection: everwire.ServerConnection) -> None:
        assert connection.request is not None
        got.append(connection.request.headers["Authorization"])

    url = (await serve(handler)).replace("ws://", "ws://user:s3cret@")
    outcome = await command.run("connect", url, "-v")
    assert got == ["Basic dXNlcjpzM2NyZXQ="]
    assert "s3cret" not in outcome.err
    assert "dXNlcjpzM2NyZXQ" not in outcome.err


async def test_the_scheme_may_be_left_out_and_which_was_taken_is_said(command: Command, echo: str) -> None:
    host = echo.removeprefix("ws://")
    outcome = await command.run("connect", host, "--send", "x", "--count", "1")
    assert (outcome.code, outcome.lines) == (0, ["x"])
    assert outcome.err == f"everwire: Connecting to {echo} (ws:// because 127.0.0.1 is this machine)\n"


async def test_a_field_that_breaks_the_request_is_refused(command: Command, echo: str) -> None:
    for field in ("X: a\nY: b", "Sec-WebSocket-Key: x", "a b: c"):
        outcome = await command.run("connect", echo, "--header", field)
        assert outcome.code == 2, field
        assert outcome.err.startswith("everwire: ")


async def test_a_token_without_tls_beyond_this_machine_is_warned_of(command: Command) -> None:
    outcome = await command.run("connect", "ws://host.invalid", "--token", "s3cret")
    assert "everwire: WARNING: the token goes over the network unencrypted: use wss://" in outcome.err


async def test_no_heartbeat_is_sent_with_ping_interval_0(command: Command) -> None:
    got: dict[str, list[int]] = {}

    async def behavior(client: RawClient, head: Head) -> None:
        client.write(answer(head))
        opcodes = got.setdefault(head.start, [])
        while (frame := await client.frame()).opcode != frames.CLOSE:
            opcodes.append(frame.opcode)
        client.write(frames.close(key=None))

    async with RawServer(behavior) as server:
        await command.run("connect", f"{server.url}often", "--ping-interval", "0.1", "--wait", f"{500 * MS}")
        await command.run("connect", f"{server.url}never", "--ping-interval", "0", "--wait", f"{500 * MS}")
    assert frames.PING in got["GET /often HTTP/1.1"]
    assert got["GET /never HTTP/1.1"] == []


async def test_a_proxy_is_gone_through(command: Command, echo: str) -> None:
    async with ConnectProxy() as proxy:
        outcome = await command.run("connect", echo, "--proxy", proxy.url(), "--send", "x", "--count", "1")
        assert (outcome.code, outcome.lines, len(proxy.asked)) == (0, ["x"], 1)


async def test_the_proxy_of_the_environment_is_gone_through_unless_none_is_wanted(
    command: Command, serve: Serve
) -> None:
    async def handler(connection: everwire.ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    here = await serve(handler, allowed_hosts=["*"])
    # Leads to this machine as well, and does not say so.
    there = here.replace("127.0.0.1", "0.0.0.0")
    async with ConnectProxy() as proxy:
        command.environment["ws_proxy"] = command.environment["all_proxy"] = proxy.url()
        for url, options, asked in ((there, (), 1), (there, ("--proxy", "none"), 1), (here, (), 1)):
            assert (await command.run("connect", url, "--send", "x", "--count", "1", *options)).code == 0
            assert len(proxy.asked) == asked


async def test_a_proxy_that_refuses_is_3_and_its_password_is_not_shown(command: Command, echo: str) -> None:
    async with ConnectProxy(credentials="user:right") as proxy:
        outcome = await command.run("connect", echo, "--proxy", proxy.url("user:s3cret@"), "-v")
        assert outcome.code == 3
        said, body = outcome.err.splitlines()[-2:]
        assert said.startswith(f"everwire: cannot connect to {echo}: the proxy {proxy.url()} answered 407 Proxy Auth")
        assert body == "  who, you?"
        assert "s3cret" not in outcome.err


async def test_a_proxy_that_is_not_there_is_3_and_is_named(command: Command, echo: str) -> None:
    outcome = await command.run("connect", echo, "--proxy", "http://host.invalid:3128")
    assert outcome.code == 3
    assert "there is no host host.invalid, the proxy: " in outcome.err


async def test_what_is_no_proxy_is_refused(command: Command, echo: str) -> None:
    outcome = await command.run("connect", echo, "--proxy", "ftp://user:s3cret@host")
    assert outcome.code == 2
    assert "is not the URL of a proxy" in outcome.err
    assert "s3cret" not in outcome.err
