"""Our client through proxies that nobody here wrote."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from peer.certificates import authority, client_context, identity

import everwire
from interop.echoing import check_burst, check_every_size
from interop.forward import PASSWORD, USER, https_proxy, microsocks, tinyproxy
from interop.ours import ours
from interop.servers import SERVERS, Options

Program = Callable[[Path], AbstractAsyncContextManager[int]]
PROXIES: dict[str, Program] = {
    "http": tinyproxy,
    "https": https_proxy,
    "socks5": microsocks,
    "socks5h": microsocks,
}


class Forward:
    """A proxy that is running, by the scheme of its URL."""

    def __init__(self, scheme: str, port: int) -> None:
        self.scheme = scheme
        self._port = port

    def options(self, user: str | None = f"{USER}:{PASSWORD}") -> dict[str, Any]:
        """What ``connect()`` needs to go through it."""
        who = "" if user is None else f"{user}@"
        options: dict[str, Any] = {"proxy": f"{self.scheme}://{who}127.0.0.1:{self._port}"}
        if self.scheme == "https":
            options["proxy_ssl"] = client_context()
        return options


@pytest.fixture(params=PROXIES)
async def forward(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Forward]:
    """Every kind of proxy."""
    async with PROXIES[request.param](tmp_path) as port:
        yield Forward(request.param, port)


@pytest.mark.parametrize("compression", ["deflate", None], ids=["deflate", "identity"])
@pytest.mark.parametrize("tls", ["plain", "core", "context"])
async def test_messages_come_back(forward: Forward, tls: str, compression: str | None) -> None:
    own = None if tls == "plain" else everwire.TLS(identity().certificate, identity().key)
    trust: Any = {"plain": None, "core": everwire.TLS(trust=authority().pem), "context": client_context()}[tls]
    async with ours(ssl=own) as served:
        url = served.url("/echo", "ws" if own is None else "wss")
        async with everwire.connect(url, ssl=trust, compression=compression, **forward.options()) as ws:
            await check_every_size(ws.send, ws.recv)
            await check_burst(ws.send, ws.recv)
            await ws.close(4000, "enough")
        assert await served.closed.get() == (4000, "enough")


@pytest.mark.parametrize("server", SERVERS)
async def test_messages_come_back_from_servers_that_are_not_ours(forward: Forward, server: str, tmp_path: Path) -> None:
    async with (
        SERVERS[server](Options(folder=tmp_path)) as foreign,
        everwire.connect(foreign.url("/echo"), **forward.options()) as ws,
    ):
        await check_every_size(ws.send, ws.recv)


@pytest.mark.parametrize("user", [None, f"{USER}:wrong"])
async def test_a_proxy_that_does_not_know_us(forward: Forward, user: str | None) -> None:
    async with ours() as served:
        with pytest.raises(everwire.HandshakeFailed) as caught:
            await everwire.connect(served.url("/echo"), **forward.options(user))
    assert caught.value.proxy is not None
    assert "wrong" not in str(caught.value)
    if forward.scheme.startswith("http"):
        # tinyproxy says 401 to whom it does not know, and 407 to whom did not say who he is.
        assert caught.value.status in (401, 407)
        assert caught.value.response is not None
        assert b"<html" in caught.value.response.body.lower()


async def test_a_server_that_does_not_listen(forward: Forward) -> None:
    with pytest.raises(everwire.HandshakeFailed) as caught:
        await everwire.connect("ws://127.0.0.1:1/", **forward.options())
    assert caught.value.proxy is not None
    if forward.scheme.startswith("http"):
        assert caught.value.status in (500, 502, 503)


async def test_the_environment_names_the_proxy(forward: Forward, monkeypatch: pytest.MonkeyPatch) -> None:
    options = forward.options()
    for name in ("no_proxy", "NO_PROXY", "ws_proxy", "WS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("socks_proxy" if forward.scheme.startswith("socks") else "https_proxy", options.pop("proxy"))
    # Leads to this machine as well, and does not say so: that is reached without a proxy.
    url = "ws://0.0.0.0:{}/echo"
    async with ours(allowed_hosts=["*"]) as served, everwire.connect(url.format(served.port), **options) as ws:
        await ws.send("hello")
        assert await ws.recv() == "hello"
        assert ws.local_address != (await served.seen.get()).remote_address


async def test_an_ipv6_server(forward: Forward) -> None:
    async with everwire.serve(everwire_echo, "::1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with everwire.connect(f"ws://[::1]:{port}/", **forward.options()) as ws:
            await check_burst(ws.send, ws.recv)


async def everwire_echo(connection: everwire.ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


async def test_a_name_that_only_the_proxy_has_to_know(tmp_path: Path) -> None:
    async with ours(allowed_hosts=["*"]) as served, microsocks(tmp_path) as port:
        here = Forward("socks5", port).options()
        there = Forward("socks5h", port).options()
        url = f"ws://localhost:{served.port}/echo"
        for options in (here, there):
            async with everwire.connect(url, **options) as ws:
                await ws.send("hello")
                assert await ws.recv() == "hello"


async def test_the_connection_ends_with_the_proxy(forward: Forward, tmp_path: Path) -> None:
    async with ours() as served, contextlib.AsyncExitStack() as stack:
        (tmp_path / "again").mkdir()
        port = await stack.enter_async_context(PROXIES[forward.scheme](tmp_path / "again"))
        ws = await everwire.connect(served.url("/echo"), **Forward(forward.scheme, port).options())
        await ws.send("hello")
        await ws.recv()
        await stack.aclose()
        with pytest.raises(everwire.ConnectionClosedError):
            await ws.recv()
        assert ws.close_code == 1006
