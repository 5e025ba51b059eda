"""Through proxies: every kind of TLS to the server, inside every kind of way to the proxy."""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from peer.certificates import authority, client_context, server_context
from peer.connecting import ConnectProxy
from peer.timing import MS, eventually

import everwire

from .conftest import Wire, echo
from .test_dialing import needs_ipv6

USER = "us%3Aer:p%40ss@"
PASSWORD = "us:er:p@ss"


@pytest.fixture(params=["http", "https"])
async def proxy(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ConnectProxy]:
    """A proxy that wants to know who we are."""
    (tmp_path / "proxy").mkdir()
    tls = server_context(tmp_path / "proxy") if request.param == "https" else None
    async with ConnectProxy(tls=tls, credentials=PASSWORD) as proxy:
        yield proxy


def through(proxy: ConnectProxy, user: str = USER, **options: Any) -> dict[str, Any]:
    """Options of ``connect()``."""
    url = proxy.url(user)
    trust = {"proxy_ssl": client_context()} if url.startswith("https") else {}
    return {"proxy": url, **trust, **options}


async def test_messages_of_every_size_come_back(wire: Wire, proxy: ConnectProxy) -> None:
    async with wire.serve(echo) as server, wire.connect(server, **through(proxy)) as client:
        for size in (0, 1, 125, 126, 65535, 65536, 1_000_000):
            message = os.urandom(size)
            await client.send(message)
            assert await client.recv() == message
    assert (client.close_code, len(proxy.asked)) == (1000, 1)


async def test_what_the_proxy_is_asked(line: Wire, proxy: ConnectProxy) -> None:
    secret = {"Authorization": "Bearer s3cret", "Cookie": "a=b"}
    async with line.serve(echo) as server:
        options = through(proxy, additional_headers=secret, user_agent_header="me/1")
        async with line.connect(server, "/path?query", **options):
            pass
    (head,) = proxy.asked
    where = f"127.0.0.1:{server_port(proxy)}"
    assert head.start == f"CONNECT {where} HTTP/1.1"
    assert dict(head.fields).keys() == {"host", "user-agent", "proxy-authorization"}
    assert (head["host"], head["user-agent"]) == (where, "me/1")


def server_port(proxy: ConnectProxy) -> int:
    return int(proxy.asked[0].start.split(" ")[1].rpartition(":")[2])


async def test_the_server_does_not_see_what_is_for_the_proxy(line: Wire, proxy: ConnectProxy) -> None:
    seen: list[everwire.Headers] = []

    async def handler(connection: everwire.ServerConnection) -> None:
        assert connection.request is not None
        seen.append(connection.request.headers)

    async with line.serve(handler) as server, line.connect(server, **through(proxy)):
        pass
    assert "Proxy-Authorization" not in seen[0]


async def test_a_wrong_password(line: Wire, proxy: ConnectProxy) -> None:
    for user, why in (("", "put the user and password into its URL"), ("user:wrong@", "does not know this user")):
        with pytest.raises(everwire.HandshakeFailed, match=why) as raised:
            await everwire.connect("ws://server.test/", **through(proxy, user))
        assert (raised.value.status, raised.value.proxy) == (407, proxy.url())
        assert raised.value.response is not None
        assert raised.value.response.body == b"who, you?"
        assert "wrong" not in str(raised.value)
    await eventually(lambda: proxy.open == 0)


async def test_the_addresses_are_ours_and_the_proxys(line: Wire, proxy: ConnectProxy) -> None:
    async with line.serve(echo) as server, line.connect(server, **through(proxy)) as client:
        assert client.remote_address == ("127.0.0.1", proxy.port)
        assert client.local_address[0] == "127.0.0.1"
        assert client.local_address[1] != proxy.port


@pytest.mark.parametrize("who", ["client", "server", "abort"])
async def test_however_it_ends_nothing_stays_behind(wire: Wire, proxy: ConnectProxy, who: str) -> None:
    async def handler(connection: everwire.ServerConnection) -> None:
        if who == "server":
            await connection.close(4000)
        await connection.wait_closed()

    async with wire.serve(handler) as server:
        client = await wire.connect(server, **through(proxy))
        if who == "client":
            await client.close()
        elif who == "abort":
            client.abort()
        await client.wait_closed()
        assert client.close_code == {"client": 1000, "server": 4000, "abort": 1006}[who]
        await eventually(lambda: proxy.open == 0)


async def test_a_proxy_that_dies_ends_the_connection(wire: Wire, proxy: ConnectProxy) -> None:
    async with wire.serve(echo) as server:
        client = await wire.connect(server, **through(proxy))
        await client.send("hello")
        await client.recv()
        await proxy.__aexit__(None, None, None)
        with pytest.raises(everwire.ConnectionClosedError):
            await client.recv()
        assert client.close_code == 1006


async def test_a_slow_reader_slows_the_sender_through_the_proxy(line: Wire, proxy: ConnectProxy) -> None:
    async with line.serve(echo, max_size=None) as server:
        options = through(proxy, ping_interval=None, close_timeout=100 * MS)
        client = await line.connect(server, compression=None, **options)
        proxy.is_reading.clear()
        sent = 0
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(300 * MS):
                while True:
                    await client.send(bytes(100_000))
                    sent += 100_000
        # What kernels and relays buffer is bounded; what a loop could send in this time is not.
        assert sent < 50_000_000
        client.abort()
        proxy.is_reading.set()
        await eventually(lambda: proxy.open == 0)


async def test_a_proxy_that_stops_reading_does_not_outlive_an_aborted_connection(
    line: Wire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("everwire.client.relay.GOODBYE", 200 * MS)
    async with ConnectProxy(tls=server_context(tmp_path)) as proxy, line.serve(echo, max_size=None) as server:
        before = len(os.listdir("/proc/self/fd"))
        client = await line.connect(server, compression=None, **through(proxy, ""))
        proxy.is_reading.clear()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(300 * MS):
                while True:
                    await client.send(bytes(100_000))
        client.abort()
        await client.wait_closed()
        ours = 4  # the proxy's two connections, the server's one
        await eventually(lambda: len(os.listdir("/proc/self/fd")) <= before + ours - 1)
        proxy.is_reading.set()
        await eventually(lambda: proxy.open == 0)


async def test_an_untrusted_proxy_gets_no_password(line: Wire, tmp_path: Path) -> None:
    async with ConnectProxy(tls=server_context(tmp_path), credentials=PASSWORD) as proxy:
        with pytest.raises(everwire.HandshakeFailed, match=r"the proxy .*'s certificate is refused") as raised:
            await everwire.connect("ws://server.test/", proxy=proxy.url(USER))
        assert isinstance(raised.value.__cause__, ssl.SSLCertVerificationError)
        assert raised.value.proxy == proxy.url()
        with pytest.raises(everwire.HandshakeFailed, match="not valid for"):
            options = through(proxy, proxy_server_hostname="other.test")
            await everwire.connect("ws://server.test/", **options)
        assert proxy.asked == []
        with pytest.raises(everwire.HandshakeFailed, match="407"):
            options = through(proxy, "", proxy_server_hostname="localhost")
            await everwire.connect("ws://server.test/", **options)


async def test_the_roots_of_the_environment_hold_for_proxies(
    line: Wire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    roots = tmp_path / "roots.pem"
    roots.write_bytes(authority().pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(roots))
    async with ConnectProxy(tls=server_context(tmp_path)) as proxy, line.serve(echo) as server:
        async with line.connect(server, proxy=proxy.url()) as client:
            await client.send("hello")
            assert await client.recv() == "hello"


async def test_the_proxy_of_the_environment_is_used(
    line: Wire, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with ConnectProxy() as proxy, line.serve(echo, allowed_hosts=["*"]) as server:
        monkeypatch.setenv("ws_proxy", proxy.url())
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        # Leads to this machine as well, and does not say so: that is reached without a proxy.
        url = line.url(server).replace("127.0.0.1", "0.0.0.0")
        async with everwire.connect(url):
            assert len(proxy.asked) == 1
        async with everwire.connect(url, proxy=None), line.connect(server):
            assert len(proxy.asked) == 1
        monkeypatch.setenv("no_proxy", "0.0.0.0/8")
        async with everwire.connect(url):
            assert len(proxy.asked) == 1


async def test_host_and_port_say_where_the_proxy_connects_to(line: Wire) -> None:
    async with ConnectProxy() as proxy, line.serve(echo, allowed_hosts=["*"]) as server:
        port = server.sockets[0].getsockname()[1]
        options: dict[str, Any] = {"proxy": proxy.url(), "host": "127.0.0.1", "port": port}
        async with everwire.connect("ws://server.test/", **options):
            assert proxy.asked[0].start == f"CONNECT 127.0.0.1:{port} HTTP/1.1"


@needs_ipv6
async def test_an_ipv6_server_has_brackets(line: Wire) -> None:
    async with ConnectProxy() as proxy, everwire.serve(echo, "::1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with everwire.connect(f"ws://[::1]:{port}/", proxy=proxy.url()) as client:
            await client.send("hello")
            assert await client.recv() == "hello"
        assert proxy.asked[0].start == f"CONNECT [::1]:{port} HTTP/1.1"


@needs_ipv6
async def test_an_ipv6_proxy(line: Wire) -> None:
    async with ConnectProxy(host="::1") as proxy, line.serve(echo) as server:
        async with line.connect(server, proxy=proxy.url(host="[::1]")) as client:
            assert client.remote_address == ("::1", proxy.port)


async def test_a_redirect_goes_through_the_proxy_again(line: Wire) -> None:
    def send_on(connection: everwire.ServerConnection, request: everwire.Request) -> everwire.Response | None:
        if request.path == "/new":
            return None
        response = connection.respond(302, "")
        response.headers["Location"] = "/new"
        return response

    async with ConnectProxy() as proxy, line.serve(echo, process_request=send_on) as server:
        async with line.connect(server, proxy=proxy.url()):
            assert len(proxy.asked) == 2


async def test_a_server_that_the_proxy_cannot_reach(line: Wire, proxy: ConnectProxy) -> None:
    with pytest.raises(everwire.HandshakeFailed, match="hung up before it answered") as raised:
        await everwire.connect("ws://127.0.0.1:1/", **through(proxy))
    assert isinstance(raised.value.__cause__, EOFError)


async def test_a_proxy_that_cannot_be_reached(line: Wire) -> None:
    with pytest.raises(ConnectionRefusedError, match=r"127\.0\.0\.1:1"):
        await everwire.connect("ws://server.test/", proxy="http://127.0.0.1:1")


async def test_our_own_address_is_used_to_the_proxy(line: Wire) -> None:
    async with ConnectProxy() as proxy, line.serve(echo) as server:
        async with line.connect(server, proxy=proxy.url(), local_addr=("127.0.0.3", 0)) as client:
            assert client.local_address[0] == "127.0.0.3"


async def test_socks_without_its_library_names_the_extra(line: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "python_socks", None)
    with pytest.raises(everwire.UsageError, match=r"pip install everwire\[socks\]"):
        await everwire.connect("ws://server.test/", proxy="socks5://127.0.0.1:1")


async def test_many_connections_leave_nothing_behind(wire: Wire, proxy: ConnectProxy) -> None:
    async with wire.serve(echo) as server:
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(20):
            async with wire.connect(server, **through(proxy)) as client:
                await client.send("hello")
                assert await client.recv() == "hello"
        await eventually(lambda: proxy.open == 0 and len(os.listdir("/proc/self/fd")) <= before)


async def test_cancelling_leaves_nothing_behind(line: Wire, proxy: ConnectProxy) -> None:
    async with line.serve(echo) as server:
        for turns in range(1, 30):
            opening = asyncio.ensure_future(_opened(line.connect(server, **through(proxy))))
            for _ in range(turns):
                await asyncio.sleep(0)
            opening.cancel()
            (outcome,) = await asyncio.gather(opening, return_exceptions=True)
            if isinstance(outcome, everwire.Connection):
                outcome.abort()
        await eventually(lambda: proxy.open == 0)


async def _opened(connecting: everwire.connect) -> everwire.Connection:
    return await connecting
