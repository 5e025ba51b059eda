"""The way to a server: which arguments go together, and when there is a proxy."""

from __future__ import annotations

import socket
import ssl
from typing import Any

import pytest

import everwire
from everwire import UsageError
from everwire.client.dialer import Dialer
from everwire.http.url import parse_url

SERVER = parse_url("ws://server.test/")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that has a proxy."""
    for name in ("no_proxy", "NO_PROXY", "ws_proxy", "WS_PROXY", "socks_proxy", "SOCKS_PROXY", "REQUEST_METHOD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("https_proxy", "http://environment:1")


def shown(dialer: Dialer) -> str | None:
    proxy = dialer.proxy_to(SERVER)
    return None if proxy is None else str(proxy)


def test_the_proxy_of_the_environment_is_used_by_default() -> None:
    assert shown(Dialer()) == "http://environment:1"


def test_the_argument_counts_more_than_the_environment() -> None:
    assert shown(Dialer(proxy="http://argument:2")) == "http://argument:2"


@pytest.mark.parametrize("proxy", [None, False])
def test_there_may_be_none(proxy: Any) -> None:
    assert shown(Dialer(proxy=proxy)) is None


def test_what_is_connected_or_a_unix_socket_needs_none() -> None:
    with socket.socket() as sock:
        assert shown(Dialer(sock=sock)) is None
        with pytest.raises(UsageError, match="socket that is given"):
            Dialer(sock=sock, proxy="http://argument:2")
    assert shown(Dialer(path="s")) is None
    with pytest.raises(UsageError, match="Unix socket"):
        Dialer(path="s", proxy="http://argument:2")


def test_exceptions_are_for_where_we_connect_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "inside.test")
    assert shown(Dialer()) == "http://environment:1"
    assert shown(Dialer(host="inside.test")) is None


def test_a_bad_url_in_the_environment_is_told_when_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "ftp://environment:1")
    with pytest.raises(UsageError, match="ftp://environment:1"):
        Dialer().proxy_to(SERVER)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"proxy": "ftp://x"}, "not the URL of a proxy"),
        ({"proxy": "http://x", "proxy_ssl": True}, "goes with an https:// proxy"),
        ({"proxy": "socks5://x", "proxy_ssl": ssl.create_default_context()}, "goes with an https:// proxy"),
        ({"proxy": "https://x", "proxy_ssl": False}, "needs TLS"),
        ({"proxy": "https://x", "proxy_ssl": everwire.TLS()}, "must be an ssl.SSLContext, not TLS"),
        ({"happy_eyeballs_delay": 0}, "must be a positive number"),
        ({"happy_eyeballs_delay": -1.0}, "must be a positive number"),
    ],
)
def test_arguments_that_do_not_fit_are_told_at_the_call(options: dict[str, Any], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        everwire.connect("ws://server.test/", **options)


def test_the_arguments_that_do() -> None:
    everwire.connect("ws://server.test/", proxy="https://x", proxy_ssl=ssl.create_default_context())
    everwire.connect("ws://server.test/", proxy="https://x", proxy_ssl=True, proxy_server_hostname="y")
    everwire.connect("ws://server.test/", happy_eyeballs_delay=None)
