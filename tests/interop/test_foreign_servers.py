"""Our client against servers that are not ours."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest
from peer.certificates import authority, client_context

import everwire
from everwire import ConnectionClosedError, ConnectionClosedOK, Deflate
from interop.echoing import check_burst, check_every_size
from interop.messages import PIECES, TEXT, cut
from interop.servers import SERVERS, Foreign, Options, Server
from interop.wiretap import wiretap

FRAGMENTING = {name: server for name, server in SERVERS.items() if name != "aiohttp"}


async def seen_end(foreign: Foreign) -> tuple[int, str]:
    """What the server says about the end of the connection."""
    return await asyncio.wait_for(foreign.closed.get(), 30)


@pytest.mark.parametrize("compression", ["deflate", None], ids=["deflate", "identity"])
async def test_messages_of_every_size_come_back(server: Server, compression: str | None, tmp_path: Path) -> None:
    async with (
        server(Options(folder=tmp_path)) as foreign,
        everwire.connect(foreign.url("/echo"), compression=compression) as ws,
    ):
        await check_every_size(ws.send, ws.recv)


async def test_a_burst_comes_back_in_order(server: Server, tmp_path: Path) -> None:
    async with server(Options(folder=tmp_path)) as foreign, everwire.connect(foreign.url("/echo")) as ws:
        await check_burst(ws.send, ws.recv)


@pytest.mark.parametrize("size", PIECES)
async def test_our_fragments_may_cut_characters(server: Server, size: int, tmp_path: Path) -> None:
    async with server(Options(folder=tmp_path)) as foreign, everwire.connect(foreign.url("/echo")) as ws:
        await ws.send(cut(TEXT.encode(), size), text=True)
        assert await ws.recv() == TEXT
        await ws.send(cut(TEXT.encode(), size))
        assert await ws.recv() == TEXT.encode()


@pytest.mark.parametrize("name", FRAGMENTING)
async def test_their_fragments_may_cut_characters(name: str, tmp_path: Path) -> None:
    async with (
        FRAGMENTING[name](Options(folder=tmp_path)) as foreign,
        everwire.connect(foreign.url("/fragments")) as ws,
    ):
        for message in (TEXT, TEXT.encode(), TEXT * 100):
            await ws.send(message)
            assert await ws.recv() == message
        await ws.send(TEXT)
        assert "".join([part async for part in ws.recv_streaming(decode=True)]) == TEXT


async def test_they_answer_our_ping(server: Server, tmp_path: Path) -> None:
    async with server(Options(folder=tmp_path)) as foreign, everwire.connect(foreign.url("/echo")) as ws:
        assert 0 < await (await ws.ping(b"are you there?")) < 30
        assert 0 < await (await ws.ping()) < 30


async def test_we_answer_their_ping(server: Server, tmp_path: Path) -> None:
    async with server(Options(folder=tmp_path)) as foreign, everwire.connect(foreign.url("/ping")) as ws:
        await ws.send("hello")
        assert await ws.recv() == "pong hello"


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1001, "off"), (3000, "κόσμε"), (4999, "x" * 123)])
async def test_they_see_our_close_code(server: Server, code: int, reason: str, tmp_path: Path) -> None:
    async with server(Options(folder=tmp_path)) as foreign:
        ws = await everwire.connect(foreign.url("/echo"))
        await ws.close(code, reason)
        assert await seen_end(foreign) == (code, reason)


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1001, "off"), (3000, "κόσμε"), (4999, "x" * 123)])
async def test_we_see_their_close_code(server: Server, code: int, reason: str, tmp_path: Path) -> None:
    kind = ConnectionClosedOK if code < 1002 else ConnectionClosedError
    async with server(Options(folder=tmp_path)) as foreign, everwire.connect(foreign.url("/close")) as ws:
        await ws.send(f"{code} {reason}")
        with pytest.raises(kind) as caught:
            await ws.recv()
        assert (caught.value.code, caught.value.reason, caught.value.clean) == (code, reason, True)


async def test_a_subprotocol_is_agreed(server: Server, tmp_path: Path) -> None:
    async with server(Options(folder=tmp_path)) as foreign:
        async with everwire.connect(foreign.url("/echo"), subprotocols=["unknown", "other"]) as ws:
            assert ws.subprotocol == "other"
        async with everwire.connect(foreign.url("/echo"), subprotocols=["unknown"]) as ws:
            assert ws.subprotocol is None


@pytest.mark.parametrize("outside", [False, True], ids=["core", "ssl.SSLContext"])
async def test_messages_come_back_over_tls(server: Server, outside: bool, tmp_path: Path) -> None:
    trust = client_context() if outside else everwire.TLS(trust=authority().pem)
    async with (
        server(Options(folder=tmp_path, tls=True)) as foreign,
        everwire.connect(foreign.url("/echo"), ssl=trust) as ws,
    ):
        await check_every_size(ws.send, ws.recv)
        await check_burst(ws.send, ws.recv)


async def test_a_certificate_of_an_unknown_authority_is_refused(server: Server, tmp_path: Path) -> None:
    trust = everwire.TLS(trust=authority("another").pem)
    async with server(Options(folder=tmp_path, tls=True)) as foreign:
        with pytest.raises(everwire.HandshakeFailed, match=r"(?i)certificate"):
            await everwire.connect(foreign.url("/echo"), ssl=trust)


async def test_messages_come_back_over_a_unix_socket(server: Server, socket_folder: Path) -> None:
    path = socket_folder / "socket"
    async with (
        server(Options(folder=socket_folder, unix=path)),
        everwire.unix_connect(str(path), "ws://localhost/echo") as ws,
    ):
        await check_every_size(ws.send, ws.recv)


# What the two ends say about the server's direction, and about the client's: "forget" stands for no context takeover.
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "forgetting": {"server_no_context_takeover": True, "client_no_context_takeover": True},
    "small windows": {"server_max_window_bits": 10, "client_max_window_bits": 9},
}


@pytest.mark.parametrize("theirs", CONFIGURATIONS)
@pytest.mark.parametrize("client_forgets", [False, True], ids=["client keeps", "client forgets"])
@pytest.mark.parametrize("server_forgets", [False, True], ids=["server keeps", "server forgets"])
@pytest.mark.parametrize("name", FRAGMENTING)
async def test_compression_is_what_was_agreed(
    name: str, server_forgets: bool, client_forgets: bool, theirs: str, tmp_path: Path
) -> None:
    ours = Deflate(server_no_context_takeover=server_forgets, client_no_context_takeover=client_forgets, threshold=0)
    options = Options(folder=tmp_path, deflate=CONFIGURATIONS[theirs])
    async with (
        FRAGMENTING[name](options) as foreign,
        wiretap(foreign.port) as tap,
        everwire.connect(foreign.url("/echo"), port=tap.port, compression=ours) as ws,
    ):
        assert ws.response is not None
        agreed = ws.response.headers["Sec-WebSocket-Extensions"]
        forgetting = theirs == "forgetting"
        assert ("server_no_context_takeover" in agreed) == (server_forgets or forgetting)
        assert ("client_max_window_bits=9" in agreed) == (theirs == "small windows")
        tap.forget()
        # Half of what a message says can be squeezed out of itself, nearly all of it if the last one is remembered.
        message = random.Random(1).randbytes(100).hex()
        for _ in range(20):
            await ws.send(message)
            assert await ws.recv() == message
        remembered, alone = range(20 * 5, 20 * 40), range(20 * 100, 20 * 180)
        assert tap.from_server in (alone if server_forgets or forgetting else remembered)
        assert tap.from_client in (alone if client_forgets or forgetting else remembered)
        await check_every_size(ws.send, ws.recv)


async def test_aiohttp_compresses_as_agreed(tmp_path: Path) -> None:
    for compression in (
        Deflate(threshold=0),
        Deflate(server_no_context_takeover=False, client_no_context_takeover=False),
    ):
        async with (
            SERVERS["aiohttp"](Options(folder=tmp_path)) as foreign,
            everwire.connect(foreign.url("/echo"), compression=compression) as ws,
        ):
            assert ws.response is not None
            assert ws.response.headers["Sec-WebSocket-Extensions"].startswith("permessage-deflate")
            await check_every_size(ws.send, ws.recv)
