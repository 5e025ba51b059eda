"""Our server behind nginx and HAProxy."""

from __future__ import annotations

import asyncio
import http
import re
import socket
import urllib.parse
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from peer.certificates import authority
from peer.client import ACCEPT, RawClient, request
from peer.frames import TEXT

import everwire
from interop.echoing import check_burst, check_every_size
from interop.ours import Ours, ours
from interop.proxies import Proxy, haproxy, nginx

PROXIES: dict[str, Callable[..., AbstractAsyncContextManager[Proxy]]] = {"nginx": nginx, "haproxy": haproxy}
TRUSTING: dict[str, Any] = {"trusted_proxies": ["127.0.0.1"]}
CLIENT = "127.0.0.2"
"""Where clients call from, to be told from the proxy."""


def answer_checks(connection: everwire.ServerConnection, request: everwire.Request) -> everwire.Response | None:
    """What load balancers ask."""
    if request.path == "/readyz":
        return connection.respond(http.HTTPStatus.OK, "ready\n")
    if request.path == "/forbidden":
        return connection.respond(http.HTTPStatus.FORBIDDEN, "not you\n")
    return None


@pytest.fixture(params=PROXIES)
def proxy(request: pytest.FixtureRequest) -> Callable[..., AbstractAsyncContextManager[Proxy]]:
    """Every proxy."""
    return PROXIES[request.param]


async def seen(served: Ours) -> everwire.ServerConnection:
    """The connection as its handler has it."""
    return await asyncio.wait_for(served.seen.get(), 30)


@pytest.mark.parametrize("compression", ["deflate", None], ids=["deflate", "identity"])
@pytest.mark.parametrize("path", ["/echo", "/callback"])
async def test_messages_come_back(proxy: Any, path: str, compression: str | None, tmp_path: Path) -> None:
    async with (
        ours(process_request=answer_checks) as served,
        proxy(served.port, tmp_path) as front,
        everwire.connect(front.url(path), compression=compression) as ws,
    ):
        await check_every_size(ws.send, ws.recv)
        await check_burst(ws.send, ws.recv)


async def test_messages_come_back_where_the_proxy_ends_tls(proxy: Any, tmp_path: Path) -> None:
    trust = everwire.TLS(trust=authority().pem)
    async with (
        ours(process_request=answer_checks) as served,
        proxy(served.port, tmp_path, tls=True) as front,
        everwire.connect(front.url("/echo"), ssl=trust) as ws,
    ):
        await check_every_size(ws.send, ws.recv)
        await check_burst(ws.send, ws.recv)


async def test_control_frames_and_subprotocols_pass(proxy: Any, tmp_path: Path) -> None:
    async with ours(process_request=answer_checks) as served, proxy(served.port, tmp_path) as front:
        async with everwire.connect(front.url("/ping"), subprotocols=["other"]) as ws:
            assert ws.subprotocol == "other"
            assert 0 < await (await ws.ping()) < 30
            await ws.send("hello")
            assert await ws.recv() == "pong hello"
            await ws.close(4000, "enough")
        assert await served.closed.get() == (4000, "enough")
        async with everwire.connect(front.url("/close")) as ws:
            await ws.send("4001 from here too")
            await ws.wait_closed()
            assert (ws.close_code, ws.close_reason) == (4001, "from here too")


async def test_what_the_server_answers_instead_of_101_passes(proxy: Any, tmp_path: Path) -> None:
    async with ours(process_request=answer_checks) as served, proxy(served.port, tmp_path) as front:
        with pytest.raises(everwire.HandshakeFailed) as caught:
            await everwire.connect(front.url("/forbidden"))
        assert caught.value.response is not None
        assert (caught.value.status, caught.value.response.body) == (403, b"not you\n")


async def test_the_server_learns_that_a_client_is_gone(proxy: Any, tmp_path: Path) -> None:
    async with ours(process_request=answer_checks) as served, proxy(served.port, tmp_path) as front:
        ws = await everwire.connect(front.url("/echo"))
        await seen(served)
        ws.abort()
        assert await asyncio.wait_for(served.closed.get(), 30) == (1006, "")


async def test_clients_learn_that_the_server_goes_away(proxy: Any, tmp_path: Path) -> None:
    async with (
        ours(process_request=answer_checks) as served,
        proxy(served.port, tmp_path) as front,
        everwire.connect(front.url("/echo")) as ws,
    ):
        await seen(served)
        assert served.server is not None
        served.server.close()
        await ws.wait_closed()
        assert ws.close_code == 1001


async def test_the_address_is_the_clients_own_by_x_forwarded_for(proxy: Any, tmp_path: Path) -> None:
    async with (
        ours(process_request=answer_checks, **TRUSTING) as served,
        proxy(served.port, tmp_path) as front,
        everwire.connect(front.url("/echo"), local_addr=(CLIENT, 0)),
    ):
        assert (await seen(served)).remote_address[0] == CLIENT


async def test_a_client_cannot_claim_another_address(proxy: Any, tmp_path: Path) -> None:
    claim = {"X-Forwarded-For": "203.0.113.7"}
    async with (
        ours(process_request=answer_checks, **TRUSTING) as served,
        proxy(served.port, tmp_path) as front,
        everwire.connect(front.url("/echo"), local_addr=(CLIENT, 0), additional_headers=claim),
    ):
        assert (await seen(served)).remote_address[0] == CLIENT


async def test_the_address_is_the_proxys_if_the_proxy_is_not_trusted(proxy: Any, tmp_path: Path) -> None:
    async with (
        ours(process_request=answer_checks) as served,
        proxy(served.port, tmp_path) as front,
        everwire.connect(front.url("/echo"), local_addr=(CLIENT, 0)),
    ):
        assert (await seen(served)).remote_address[0] == "127.0.0.1"


async def test_the_address_is_the_clients_own_by_forwarded(tmp_path: Path) -> None:
    async with (
        ours(forwarded="forwarded", **TRUSTING) as served,
        nginx(served.port, tmp_path) as front,
        everwire.connect(front.url("/echo"), local_addr=(CLIENT, 0)),
    ):
        assert (await seen(served)).remote_address[0] == CLIENT


async def test_address_and_port_are_the_clients_own_by_proxy_v2(tmp_path: Path) -> None:
    async with (
        ours(process_request=answer_checks, proxy_protocol=True) as served,
        haproxy(served.port, tmp_path, proxy_protocol=True) as front,
        everwire.connect(front.url("/echo"), local_addr=(CLIENT, 0)) as ws,
    ):
        assert tuple((await seen(served)).remote_address[:2]) == tuple(ws.local_address[:2])
        assert ws.local_address[0] == CLIENT
        await check_every_size(ws.send, ws.recv)


PAGE = Path(__file__).parents[2] / "docs" / "howto" / "proxy.md"


def on_the_page(kind: str, *changes: tuple[str, str]) -> str:
    """A configuration of the page on proxies, with what a test changes in it."""
    found = re.search(rf"^```{kind}\n(.*?)^```$", PAGE.read_text(), flags=re.DOTALL | re.MULTILINE)
    assert found
    text = found[1].replace("%", "%%")
    for there, here in (("127.0.0.1:8765", "127.0.0.1:%(port)d"), *changes):
        assert there in text
        text = text.replace(there, here)
    return text


@pytest.mark.parametrize("kind", PROXIES)
async def test_the_configuration_on_the_page_works(kind: str, tmp_path: Path) -> None:
    configured: dict[str, Any] = {
        "nginx": lambda: {"location": on_the_page("nginx", ("location /live ", "location / "))},
        "haproxy": lambda: {
            "backend": on_the_page("haproxy", ("backend live", "backend inside"), ("/health", "/readyz"))
        },
    }[kind]()
    async with (
        ours(process_request=answer_checks, origins=["https://chat.example.com"], **TRUSTING) as served,
        PROXIES[kind](served.port, tmp_path, **configured) as front,
        everwire.connect(front.url("/echo"), local_addr=(CLIENT, 0), origin="https://chat.example.com") as ws,
    ):
        await check_every_size(ws.send, ws.recv)
        assert (await seen(served)).remote_address[0] == CLIENT


def has_ipv6() -> bool:
    """Whether this machine has an IPv6 loopback."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
async def test_an_ipv6_address_comes_by_proxy_v2(tmp_path: Path) -> None:
    async with (
        ours(process_request=answer_checks, proxy_protocol=True) as served,
        haproxy(served.port, tmp_path, host="::1", proxy_protocol=True) as front,
        everwire.connect(front.url("/echo")) as ws,
    ):
        assert tuple((await seen(served)).remote_address[:2]) == tuple(ws.local_address[:2])


async def test_health_checks_of_haproxy_keep_its_own_address(tmp_path: Path) -> None:
    checks: asyncio.Queue[Any] = asyncio.Queue()

    def answer(connection: everwire.ServerConnection, request: everwire.Request) -> everwire.Response | None:
        if request.path == "/readyz":
            checks.put_nowait(connection.remote_address[0])
        return answer_checks(connection, request)

    # Such a check begins with a PROXY header of the kind LOCAL, which names nobody.
    async with (
        ours(process_request=answer, proxy_protocol=True) as served,
        haproxy(served.port, tmp_path, proxy_protocol=True),
    ):
        for _ in range(3):
            assert await asyncio.wait_for(checks.get(), 30) == "127.0.0.1"


async def test_one_connection_to_the_proxy_asks_first_and_upgrades_then(proxy: Any, tmp_path: Path) -> None:
    async with ours(process_request=answer_checks) as served, proxy(served.port, tmp_path) as front:
        where = urllib.parse.urlsplit(front.url("/"))
        assert where.hostname is not None
        assert where.port is not None
        async with await RawClient.connect((where.hostname, where.port)) as client:
            client.write(f"GET /readyz HTTP/1.1\r\nHost: {where.netloc}\r\n\r\n".encode())
            head = await client.head()
            assert head.status == 200
            assert await client.reader.readexactly(int(head["content-length"])) == b"ready\n"
            client.write(request("/echo"))
            assert (await client.head())["sec-websocket-accept"] == ACCEPT
            client.send(TEXT, b"hello")
            assert (await client.frame()).payload == b"hello"
