"""Real addresses, raced: both families, black holes, our own address, Unix sockets, sockets that are given."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from peer.certificates import authority, client_context, server_context
from peer.timing import MS, eventually

import everwire
from everwire.client.racing import dial

from .conftest import Wire, echo


def has_ipv6() -> bool:
    """Whether this machine has an IPv6 loopback."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[tuple[str, int]]]:
    """Names for addresses and ports; asyncio and uvloop look them up in different ways, and the race asks neither."""
    known: dict[str, list[tuple[str, int]]] = {}

    async def look_up(host: Any, port: Any, family: int) -> list[Any]:
        found = []
        for address, own_port in known.get(host) or [(host, port)]:
            kind = socket.AF_INET6 if ":" in address else socket.AF_INET
            if family in (socket.AF_UNSPEC, kind):
                found.append((kind, (address, own_port or port)))
        return found

    monkeypatch.setattr("everwire.client.racing._look_up", look_up)
    return known


@pytest.fixture
def black_hole() -> Iterator[tuple[str, int]]:
    """An address that answers no SYN: a listener whose queue is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listening:
        address = listening.getsockname()
        waiting: list[socket.socket] = []
        try:
            for _ in range(4):
                sock = socket.socket()
                waiting.append(sock)
                sock.setblocking(False)
                sock.connect_ex(address)
            yield address
        finally:
            for sock in waiting:
                sock.close()


def port_of(server: everwire.Server) -> int:
    return int(server.sockets[0].getsockname()[1])


async def test_a_black_hole_costs_one_delay(line: Wire, names: Any, black_hole: tuple[str, int]) -> None:
    async with everwire.serve(echo, "127.0.0.2", 0, allowed_hosts=["*"]) as server:
        names["server.test"] = [black_hole, ("127.0.0.2", port_of(server))]
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with everwire.connect("ws://server.test/", happy_eyeballs_delay=100 * MS) as client:
            # uvloop's clock has ticks of a millisecond.
            assert 98 * MS <= loop.time() - began < 3000 * MS
            assert client.remote_address[0] == "127.0.0.2"
            await client.send("hello")
            assert await client.recv() == "hello"


async def test_without_racing_a_black_hole_costs_everything(
    line: Wire, names: Any, black_hole: tuple[str, int]
) -> None:
    async with everwire.serve(echo, "127.0.0.2", 0, allowed_hosts=["*"]) as server:
        names["server.test"] = [black_hole, ("127.0.0.2", port_of(server))]
        with pytest.raises(TimeoutError, match="timed out during opening handshake"):
            await everwire.connect("ws://server.test/", happy_eyeballs_delay=None, open_timeout=400 * MS)


async def test_the_sockets_of_losers_are_closed(line: Wire, names: Any, black_hole: tuple[str, int]) -> None:
    async with everwire.serve(echo, "127.0.0.2", 0, allowed_hosts=["*"]) as server:
        names["server.test"] = [black_hole, ("127.0.0.2", port_of(server)), black_hole]
        before = len(os.listdir("/proc/self/fd"))
        client = await everwire.connect("ws://server.test/", happy_eyeballs_delay=20 * MS)
        assert len(os.listdir("/proc/self/fd")) == before + 2  # both ends
        await client.close()


async def test_cancelling_closes_every_attempt(names: Any, black_hole: tuple[str, int]) -> None:
    names["server.test"] = [black_hole]
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(dial("server.test", 80), 50 * MS)
    assert len(os.listdir("/proc/self/fd")) == before


@needs_ipv6
@pytest.mark.parametrize("alive", ["::1", "127.0.0.1"])
async def test_one_family_stands_in_for_the_other(line: Wire, names: Any, alive: str) -> None:
    async with everwire.serve(echo, alive, 0, allowed_hosts=["*"]) as server:
        names["server.test"] = [("::1", port_of(server)), ("127.0.0.1", port_of(server))]
        async with everwire.connect("ws://server.test/") as client:
            assert client.remote_address[0] == alive


@needs_ipv6
async def test_a_family_may_be_chosen(line: Wire, names: Any) -> None:
    async with everwire.serve(echo, "127.0.0.1", 0, allowed_hosts=["*"]) as server:
        names["server.test"] = [("::1", port_of(server)), ("127.0.0.1", port_of(server))]
        async with everwire.connect("ws://server.test/", family=socket.AF_INET):
            pass
        with pytest.raises(ConnectionRefusedError, match=r"::1: Connection refused$"):
            await everwire.connect("ws://server.test/", family=socket.AF_INET6)


@needs_ipv6
async def test_each_attempt_has_an_address_of_ours_of_its_family(line: Wire, names: Any) -> None:
    names["us.test"] = [("::1", 0), ("127.0.0.3", 0)]
    for host, own in (("127.0.0.1", "127.0.0.3"), ("::1", "::1")):
        async with everwire.serve(echo, host, 0, allowed_hosts=["*"]) as server:
            names["server.test"] = [("::1", port_of(server)), ("127.0.0.1", port_of(server))]
            async with everwire.connect("ws://server.test/", local_addr=("us.test", 0)) as client:
                assert client.local_address[0] == own


@pytest.mark.parametrize("anywhere", [None, ""])
async def test_our_port_alone_may_be_said(line: Wire, anywhere: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    async with line.serve(echo) as server, line.connect(server, local_addr=(anywhere, port)) as client:
        assert client.local_address == ("127.0.0.1", port)


async def test_an_address_that_is_not_ours_is_told(line: Wire) -> None:
    with pytest.raises(OSError, match="Cannot assign requested address"):
        await everwire.connect("ws://127.0.0.1:1/", local_addr=("192.0.2.1", 0))


async def test_localhost_is_looked_up_for_real(line: Wire) -> None:
    async with line.serve(echo) as server:
        async with everwire.connect(f"ws://localhost:{port_of(server)}/") as client:
            await client.send("hello")
            assert await client.recv() == "hello"


async def test_a_port_that_nobody_listens_on(line: Wire) -> None:
    with pytest.raises(ConnectionRefusedError, match=r"cannot connect to 127\.0\.0\.1:1: "):
        await everwire.connect("ws://127.0.0.1:1/")


async def test_host_and_port_replace_those_of_the_url(line: Wire) -> None:
    async with everwire.serve(echo, "127.0.0.1", 0, allowed_hosts=["server.test"]) as server:
        options: dict[str, Any] = {"host": "127.0.0.1", "port": port_of(server)}
        async with everwire.connect("ws://server.test/", **options) as client:
            assert client.request is not None
            assert client.request.headers["Host"] == "server.test"


async def test_a_connected_socket(wire: Wire) -> None:
    async with wire.serve(echo) as server:
        sock = socket.create_connection(("127.0.0.1", port_of(server)))
        async with wire.connect(server, sock=sock) as client:
            await client.send("hello")
            assert await client.recv() == "hello"


async def test_a_socket_of_which_nothing_comes_is_closed(line: Wire) -> None:
    def refuse(connection: everwire.ServerConnection, request: everwire.Request) -> everwire.Response:
        return connection.respond(403, "no")

    async with line.serve(echo, process_request=refuse) as server:
        before = len(os.listdir("/proc/self/fd"))
        sock = socket.create_connection(("127.0.0.1", port_of(server)))
        with pytest.raises(everwire.HandshakeFailed, match="403"):
            await line.connect(server, sock=sock)
        await eventually(lambda: len(os.listdir("/proc/self/fd")) <= before)


@pytest.mark.parametrize("tls", ["plain", "core", "outside"])
async def test_a_unix_socket(tmp_path: Path, tls: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # The whole path may be longer than the address of a Unix socket.
    monkeypatch.chdir(tmp_path)
    context = server_context(tmp_path) if tls != "plain" else None
    trust: Any = {"plain": None, "core": everwire.TLS(trust=authority().pem), "outside": client_context()}[tls]
    async with everwire.unix_serve(echo, "s", ssl=context):
        async with everwire.unix_connect("s", ssl=trust) as client:
            await client.send("hello")
            assert await client.recv() == "hello"
            assert client.remote_address == ""
        with pytest.raises(FileNotFoundError, match="other: No such file"):
            await everwire.unix_connect("other")


async def test_a_failed_attempt_names_its_address_on_both_loops(line: Wire, names: Any) -> None:
    names["server.test"] = [("127.0.0.1", 1), ("127.0.0.2", 1)]
    with pytest.raises(ConnectionRefusedError) as raised:
        await everwire.connect("ws://server.test/")
    expected = "cannot connect to server.test:80: 127.0.0.1: Connection refused; 127.0.0.2: Connection refused"
    assert raised.value.strerror == expected


async def test_tls_that_is_cancelled_closes_its_socket(tmp_path: Path) -> None:
    async with everwire.serve(echo, "127.0.0.1", 0, ssl=server_context(tmp_path)) as server:
        before = len(os.listdir("/proc/self/fd"))

        async def opened() -> everwire.Connection:
            return await everwire.connect(f"wss://127.0.0.1:{port_of(server)}/", ssl=client_context())

        for turns in range(1, 25):
            opening = asyncio.ensure_future(opened())
            for _ in range(turns):
                await asyncio.sleep(0)
            opening.cancel()
            (outcome,) = await asyncio.gather(opening, return_exceptions=True)
            if isinstance(outcome, everwire.Connection):
                outcome.abort()
        await eventually(lambda: len(os.listdir("/proc/self/fd")) <= before)
