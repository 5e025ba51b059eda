"""Proxies under the names of `websockets`: its exceptions, at the moments at which it raises them."""

from __future__ import annotations

import asyncio
import os
import sys

import pytest
import python_socks
from peer.connecting import ConnectProxy
from peer.server import RawServer

import everwire
from everwire.compat.websockets import exceptions
from everwire.compat.websockets.asyncio.client import connect, process_exception, unix_connect
from everwire.compat.websockets.asyncio.server import serve, unix_serve


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    """Whoever runs the tests may have proxies."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)


async def echo(connection):
    async for message in connection:
        await connection.send(message)


def url(server):
    return "ws://{}:{}/".format(*server.sockets[0].getsockname()[:2])


async def test_the_proxy_of_the_environment_is_used_unless_it_is_switched_off(monkeypatch):
    async with ConnectProxy() as proxy, serve(echo, "127.0.0.1", 0, allowed_hosts=["*"]) as server:
        monkeypatch.setenv("https_proxy", proxy.url())
        # Leads to this machine as well, and does not say so.
        elsewhere = url(server).replace("127.0.0.1", "0.0.0.0")
        async with connect(elsewhere) as client:
            await client.send("hello")
            assert await client.recv() == "hello"
        async with connect(elsewhere, proxy=None), connect(url(server)):
            pass
        assert len(proxy.asked) == 1


async def test_a_proxy_has_no_effect_on_unix_sockets(tmp_path):
    async with unix_serve(echo, tmp_path / "s"):
        async with unix_connect(tmp_path / "s", proxy="http://127.0.0.1:1"):
            pass


async def test_a_proxy_that_refuses():
    async with ConnectProxy(credentials="us:them") as proxy:
        with pytest.raises(exceptions.InvalidProxyStatus, match=r"^proxy rejected connection: HTTP 407$") as raised:
            await connect("ws://server.test/", proxy=proxy.url())
    assert raised.value.response.status_code == 407
    assert raised.value.response.body == b"who, you?"
    assert isinstance(raised.value, exceptions.ProxyError)


@pytest.mark.parametrize("data", [b"garbage\r\n\r\n", b""])
async def test_a_proxy_that_does_not_answer_in_http(data):
    async def behavior(client, head):
        client.write(data)

    async with RawServer(behavior) as proxy:
        with pytest.raises(exceptions.InvalidProxyMessage, match="did not receive a valid HTTP response from proxy"):
            await connect("ws://server.test/", proxy="http://{}:{}".format(*proxy.address))


async def test_a_socks_proxy_that_does_not_connect():

    async def refuse(reader, writer):
        await reader.read(3)
        writer.write(b"\x05\xff")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(exceptions.ProxyError, match=r"^failed to connect to SOCKS proxy$") as raised:
            await connect("ws://server.test/", proxy=f"socks5h://127.0.0.1:{port}")
    assert isinstance(raised.value.__cause__, python_socks.ProxyError)


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:1", "socks5://127.0.0.1:1"])
async def test_a_proxy_that_cannot_be_reached_is_an_oserror(proxy):
    with pytest.raises(ConnectionRefusedError):
        await connect("ws://server.test/", proxy=proxy)


async def test_a_bad_url_in_the_environment_is_an_invalid_proxy(monkeypatch):
    monkeypatch.setenv("https_proxy", "other://user:s3cret@proxy")
    with pytest.raises(exceptions.InvalidProxy, match="scheme other isn't supported") as raised:
        await connect("ws://server.test/")
    assert "s3cret" not in str(raised.value)
    assert raised.value.proxy == "other://user:s3cret@proxy"


async def test_socks_without_its_library_is_an_import_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "python_socks", None)
    with pytest.raises(ImportError, match="python-socks"):
        await connect("ws://server.test/", proxy="socks5://127.0.0.1:1")


async def test_what_a_proxy_answers_is_final():
    for status in (407, 503):
        failure = exceptions.InvalidProxyStatus(everwire.Response(status, "", everwire.Headers()))
        failure.proxy = "http://proxy:80"
        assert process_exception(failure) is failure
