"""Our server with clients that are not ours."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest
from peer.certificates import identity, server_context

import everwire
from everwire import Deflate
from interop.clients import CLIENTS, JAVA, Connect
from interop.echoing import check_burst, check_every_size
from interop.messages import PIECES, TEXT, cut
from interop.ours import Ours, ours
from interop.servers import Options
from interop.wiretap import wiretap

ECHOES = ("/echo", "/callback", "/stream")
CODES = [(1000, ""), (3000, "κόσμε"), (4999, "x" * 123)]
CUTTING = ("websockets", "ws")
"""Those that send bytes as parts of a text."""


async def seen_end(served: Ours) -> tuple[int, str]:
    """What our server says about the end of the connection."""
    return await asyncio.wait_for(served.closed.get(), 30)


@pytest.mark.parametrize("path", ECHOES)
@pytest.mark.parametrize("compression", ["deflate", None], ids=["deflate", "identity"])
async def test_messages_of_every_size_come_back(
    client: Connect, path: str, compression: str | None, tmp_path: Path
) -> None:
    async with ours(compression=compression) as served, client(served.url(path), Options(folder=tmp_path)) as peer:
        await check_every_size(peer.send, peer.receive)


@pytest.mark.parametrize("path", ECHOES)
async def test_a_burst_comes_back_in_order(client: Connect, path: str, tmp_path: Path) -> None:
    async with ours() as served, client(served.url(path), Options(folder=tmp_path)) as peer:
        await check_burst(peer.send, peer.receive)


@pytest.mark.parametrize("size", PIECES)
@pytest.mark.parametrize("path", ECHOES)
@pytest.mark.parametrize("name", CUTTING)
async def test_their_fragments_may_cut_characters(name: str, path: str, size: int, tmp_path: Path) -> None:
    async with ours() as served, CLIENTS[name](served.url(path), Options(folder=tmp_path)) as peer:
        await peer.send_parts(cut(TEXT.encode(), size), text=True)
        assert await peer.receive() == TEXT
        await peer.send_parts(cut(TEXT.encode(), size), text=False)
        assert await peer.receive() == TEXT.encode()


async def test_our_fragments_may_cut_characters(client: Connect, tmp_path: Path) -> None:
    async with ours() as served, client(served.url("/fragments"), Options(folder=tmp_path)) as peer:
        for message in (TEXT, TEXT.encode(), TEXT * 100):
            await peer.send(message)
            assert await peer.receive() == message


async def test_we_answer_their_ping(client: Connect, tmp_path: Path) -> None:
    async with ours() as served, client(served.url("/echo"), Options(folder=tmp_path)) as peer:
        await peer.ping(b"are you there?")
        await peer.ping(b"")


@pytest.mark.parametrize("name", ["websockets", "ws", pytest.param("java", marks=JAVA)])
async def test_they_answer_our_ping(name: str, tmp_path: Path) -> None:
    async with ours() as served, CLIENTS[name](served.url("/ping"), Options(folder=tmp_path)) as peer:
        await peer.send("hello")
        assert await peer.receive() == "pong hello"


@pytest.mark.parametrize(("code", "reason"), CODES)
async def test_we_see_their_close_code(client: Connect, code: int, reason: str, tmp_path: Path) -> None:
    async with ours() as served, client(served.url("/echo"), Options(folder=tmp_path)) as peer:
        await peer.close(code, reason)
        assert await seen_end(served) == (code, reason)


@pytest.mark.parametrize(("code", "reason"), [*CODES, (1001, "off")])
async def test_they_see_our_close_code(client: Connect, code: int, reason: str, tmp_path: Path) -> None:
    async with ours() as served, client(served.url("/close"), Options(folder=tmp_path)) as peer:
        await peer.send(f"{code} {reason}")
        assert await peer.closed() == (code, reason)


async def test_they_are_told_that_the_server_goes_away(client: Connect, tmp_path: Path) -> None:
    async with ours() as served, client(served.url("/echo"), Options(folder=tmp_path)) as peer:
        await served.seen.get()
        assert served.server is not None
        served.server.close()
        assert (await peer.closed())[0] == 1001
        await served.server.wait_closed()


async def test_a_subprotocol_is_agreed(client: Connect, tmp_path: Path) -> None:
    async with ours() as served:
        options = Options(folder=tmp_path, protocols=("unknown", "other"))
        async with client(served.url("/echo"), options) as peer:
            assert peer.subprotocol == "other"
        async with client(served.url("/echo"), Options(folder=tmp_path, protocols=())) as peer:
            assert peer.subprotocol == ""


@pytest.mark.parametrize("outside", [False, True], ids=["core", "ssl.SSLContext"])
async def test_messages_come_back_over_tls(client: Connect, outside: bool, tmp_path: Path) -> None:
    own = server_context(tmp_path) if outside else everwire.TLS(identity().certificate, identity().key)
    options = Options(folder=tmp_path, tls=True)
    async with ours(ssl=own) as served, client(served.url("/echo", "wss"), options) as peer:
        await check_every_size(peer.send, peer.receive)
        await check_burst(peer.send, peer.receive)


@pytest.mark.parametrize("name", ["websockets", "aiohttp", "ws"])
async def test_messages_come_back_over_a_unix_socket(name: str, socket_folder: Path) -> None:
    path = socket_folder / "socket"
    options = Options(folder=socket_folder, unix=path)
    async with ours(unix=str(path)), CLIENTS[name]("ws://localhost/echo", options) as peer:
        await check_every_size(peer.send, peer.receive)


CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "forgetting": {"server_no_context_takeover": True, "client_no_context_takeover": True},
    "small windows": {"server_max_window_bits": 10, "client_max_window_bits": 9},
}


@pytest.mark.parametrize("theirs", CONFIGURATIONS)
@pytest.mark.parametrize("client_forgets", [False, True], ids=["client keeps", "client forgets"])
@pytest.mark.parametrize("server_forgets", [False, True], ids=["server keeps", "server forgets"])
@pytest.mark.parametrize("name", CUTTING)
async def test_compression_is_what_was_agreed(
    name: str, server_forgets: bool, client_forgets: bool, theirs: str, tmp_path: Path
) -> None:
    own = Deflate(server_no_context_takeover=server_forgets, client_no_context_takeover=client_forgets, threshold=0)
    options = Options(folder=tmp_path, deflate=CONFIGURATIONS[theirs])
    async with (
        ours(compression=own) as served,
        wiretap(served.port) as tap,
        CLIENTS[name](f"ws://127.0.0.1:{tap.port}/echo", options) as peer,
    ):
        forgetting = theirs == "forgetting"
        assert peer.extensions.startswith("permessage-deflate")
        tap.forget()
        # Half of what a message says can be squeezed out of itself, nearly all of it if the last one is remembered.
        message = random.Random(1).randbytes(100).hex()
        for _ in range(20):
            await peer.send(message)
            assert await peer.receive() == message
        remembered, alone = range(20 * 5, 20 * 40), range(20 * 100, 20 * 180)
        assert tap.from_server in (alone if server_forgets or forgetting else remembered)
        assert tap.from_client in (alone if client_forgets or forgetting else remembered)
        await check_every_size(peer.send, peer.receive)


async def test_an_offer_that_cannot_be_honored_is_declined(tmp_path: Path) -> None:
    options = Options(folder=tmp_path, deflate={"server_max_window_bits": 8})
    async with ours() as served, CLIENTS["ws"](served.url("/echo"), options) as peer:
        assert peer.extensions == ""
        await check_every_size(peer.send, peer.receive)
