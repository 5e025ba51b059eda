"""URLs of proxies, and what the environment says about them."""

from __future__ import annotations

import os

import pytest

from everwire import UsageError
from everwire.client.dialer import Dialer
from everwire.client.proxy import Proxy, join, parse_proxy, proxy_for


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may have proxies."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name == "REQUEST_METHOD":
            monkeypatch.delenv(name)


class TestParsing:
    @pytest.mark.parametrize(
        ("url", "proxy"),
        [
            ("http://proxy", Proxy("http", "proxy", 80)),
            ("https://proxy", Proxy("https", "proxy", 443)),
            ("http://PROXY:8080/", Proxy("http", "proxy", 8080)),
            ("socks5h://proxy", Proxy("socks5h", "proxy", 1080)),
            ("socks5://proxy:9050", Proxy("socks5", "proxy", 9050)),
            ("socks4a://proxy", Proxy("socks4a", "proxy", 1080)),
            ("socks4://[::1]:1", Proxy("socks4", "::1", 1)),
            ("http://user:p%40ss%3a@proxy", Proxy("http", "proxy", 80, "user", "p@ss:")),
            ("http://user:@proxy", Proxy("http", "proxy", 80, "user", "")),
            ("http://\N{LATIN SMALL LETTER O WITH DIAERESIS}:1", Proxy("http", "xn--nda", 1)),
        ],
    )
    def test_what_is_one(self, url: str, proxy: Proxy) -> None:
        assert parse_proxy(url) == proxy

    @pytest.mark.parametrize(
        ("url", "why"),
        [
            ("ws://proxy", "begins with http, https, socks5h"),
            ("proxy:8080", "begins with"),
            ("", "begins with"),
            ("http://", "names no host"),
            ("http://:8080", "names no host"),
            ("http://a b", "names no host"),
            ("http://proxy/path", "more than a host and a port"),
            ("http://proxy?query", "more than a host and a port"),
            ("http://proxy#fragment", "more than a host and a port"),
            ("http://user@proxy", "a user but no password"),
            ("http://proxy:port", "not the URL of a proxy"),
            ("http://proxy:99999", "not the URL of a proxy"),
            ("http://[::1", "not the URL of a proxy"),
            ("http://%ff:x@proxy", "not the URL of a proxy"),
        ],
    )
    def test_what_is_none(self, url: str, why: str) -> None:
        with pytest.raises(UsageError, match=why):
            parse_proxy(url)

    def test_errors_and_names_never_show_the_password(self) -> None:
        for url in (
            "http://user:secret@proxy/path",
            "HTTP://user:secret@proxy/path",
            "http://user:secret/secret@proxy",
            "http://user:12/secret@proxy",
            "http://user:secret@secret@proxy/path",
            "http://user:secret@proxy:secret",
            "ftp://user:secret@proxy",
            "user:secret@proxy",
            "http://secret@proxy",
            "http://user:secret\N{DEGREE CELSIUS}@pro\N{CARE OF}xy",
        ):
            with pytest.raises(UsageError) as raised:
                parse_proxy(url)
            assert "secret" not in str(raised.value).rpartition("@")[0]
        assert str(parse_proxy("http://user:secret@proxy")) == "http://proxy:80"
        assert "secret" not in repr(parse_proxy("http://user:secret@proxy"))
        assert "secret" not in repr(Dialer(proxy="http://user:secret@proxy"))

    def test_ipv6_addresses_have_brackets(self) -> None:
        assert join("::1", 443) == "[::1]:443"
        assert str(parse_proxy("http://[::1]:8080")) == "http://[::1]:8080"


class TestEnvironment:
    @pytest.mark.parametrize(
        ("variables", "plain", "secure"),
        [
            ({}, None, None),
            ({"ws_proxy": "http://a"}, "http://a", None),
            ({"wss_proxy": "http://a"}, None, "http://a"),
            ({"http_proxy": "http://a"}, "http://a", None),
            ({"https_proxy": "http://a"}, "http://a", "http://a"),
            ({"HTTPS_PROXY": "http://a"}, "http://a", "http://a"),
            ({"socks_proxy": "http://a:1080"}, "socks5h://a:1080", "socks5h://a:1080"),
            ({"socks_proxy": "socks5://a:1080"}, "socks5://a:1080", "socks5://a:1080"),
            ({"socks_proxy": "a:1080"}, "socks5h://a:1080", "socks5h://a:1080"),
            ({"https_proxy": "a:3128"}, "http://a:3128", "http://a:3128"),
            ({"https_proxy": "socks5h://a"}, "socks5h://a", "socks5h://a"),
            ({"all_proxy": "http://a"}, "http://a", "http://a"),
            ({"ALL_PROXY": "socks5h://a"}, "socks5h://a", "socks5h://a"),
            ({"all_proxy": "a:3128"}, "http://a:3128", "http://a:3128"),
            ({"all_proxy": "http://a", "http_proxy": "http://b"}, "http://b", "http://a"),
            ({"all_proxy": "http://a", "https_proxy": "http://b"}, "http://b", "http://b"),
            ({"all_proxy": "http://a", "no_proxy": "server.test"}, None, None),
            ({"https_proxy": ""}, None, None),
            ({"ws_proxy": "http://a", "socks_proxy": "http://b"}, "http://a", "socks5h://b"),
            ({"socks_proxy": "http://b", "https_proxy": "http://c"}, "socks5h://b", "socks5h://b"),
            ({"https_proxy": "http://c", "http_proxy": "http://d"}, "http://c", "http://c"),
            ({"https_proxy": "http://a", "no_proxy": "server.test"}, None, None),
            ({"https_proxy": "http://a", "no_proxy": ".test"}, None, None),
            ({"https_proxy": "http://a", "no_proxy": "*"}, None, None),
            ({"https_proxy": "http://a", "no_proxy": "other.test"}, "http://a", "http://a"),
        ],
    )
    def test_which_variable_counts(
        self, variables: dict[str, str], plain: str | None, secure: str | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        assert proxy_for("server.test", 80, secure=False) == plain
        assert proxy_for("server.test", 443, secure=True) == secure

    @pytest.mark.parametrize(
        ("entry", "host", "is_excepted"),
        [
            ("example", "example", True),
            ("example", "a.example", True),
            ("example", "a.b.EXAMPLE.", True),
            ("example", "an-example", False),
            (".example", "a.example", True),
            (".example", "example", True),
            (".example", "an-example", False),
            ("*.example", "a.example", True),
            ("*.example", "a.b.example", True),
            ("*.example", "example", False),
            ("*.example", "an-example", False),
            ("EXAMPLE", "a.example", True),
            ("other, example", "example", True),
            ("other example", "example", True),
            ("other,,example,", "example", True),
            ("", "example", False),
            ("*", "10.0.0.1", True),
            ("example:8443", "example", True),
            ("example:8444", "example", False),
            ("*.example:8443", "a.example", True),
            ("10.0.0.0/8", "10.255.0.1", True),
            ("10.0.0.0/8", "11.0.0.1", False),
            ("10.1.2.3/8", "10.255.0.1", True),
            ("10.0.0.0/8:8443", "10.255.0.1", True),
            ("10.0.0.0/8:8444", "10.255.0.1", False),
            ("10.0.0.1", "10.0.0.1", True),
            ("10.0.0.1:8443", "10.0.0.1", True),
            ("10.0.0.1", "10.0.0.10", False),
            ("0.0.1", "10.0.0.1", False),
            ("10.0.0.0/8", "10.example", False),
            ("fd00::/8", "fd12::1", True),
            ("fd00::/8", "fe80::1%eth0", False),
            ("fe80::/10", "fe80::1%eth0", True),
            ("[fd00::1]:8443", "fd00::1", True),
            ("[fd00::1]:8444", "fd00::1", False),
            ("[fd00::1]", "fd00::1", True),
            ("fd00::1", "fd00:0::1", True),
            ("10.0.0.0/99", "10.0.0.1", False),
        ],
    )
    @pytest.mark.parametrize("variable", ["no_proxy", "NO_PROXY"])
    def test_what_no_proxy_excepts(
        self, entry: str, host: str, is_excepted: bool, variable: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("all_proxy", "http://a")
        monkeypatch.setenv(variable, entry)
        assert (proxy_for(host, 8443, secure=True) is None) == is_excepted

    @pytest.mark.parametrize(
        "host",
        [
            "localhost",
            "LOCALHOST",
            "localhost.",
            "app.localhost",
            "127.0.0.1",
            "127.255.0.1",
            "::1",
            "::ffff:127.0.0.1",
        ],
    )
    def test_this_machine_is_never_reached_through_one(self, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("ws_proxy", "wss_proxy", "http_proxy", "https_proxy", "socks_proxy", "all_proxy"):
            monkeypatch.setenv(name, "http://a")
        for secure in (False, True):
            assert proxy_for(host, 8000, secure=secure) is None

    @pytest.mark.parametrize("host", ["localhost.test", "notlocalhost", "128.0.0.1", "::2", "10.0.0.1"])
    def test_but_others_are(self, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("all_proxy", "http://a")
        assert proxy_for(host, 8000, secure=False) == "http://a"

    def test_a_port_may_be_excepted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("https_proxy", "http://a")
        monkeypatch.setenv("no_proxy", "server.test:8443")
        assert proxy_for("server.test", 8443, secure=True) is None
        assert proxy_for("server.test", 443, secure=True) == "http://a"
