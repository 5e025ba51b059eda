"""URLs of WebSockets (RFC 6455 §3, and what the URL Standard says of hosts)."""

from __future__ import annotations

import traceback

import pytest

from everwire import UsageError
from everwire.http.url import URL, is_loopback, parse_url


@pytest.mark.parametrize(
    ("url", "parsed"),
    [
        ("ws://Server.Test", URL(False, "server.test", 80, "/")),
        ("wss://server.test", URL(True, "server.test", 443, "/")),
        ("WSS://server.test:8443/a?b=c", URL(True, "server.test", 8443, "/a?b=c")),
        ("ws://[::1]:1/", URL(False, "::1", 1, "/")),
        ("ws://[fe80::1%eth0]/", URL(False, "fe80::1%eth0", 80, "/")),
        ("ws://b\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.test/", URL(False, "xn--bcher-kva.test", 80, "/")),
        ("ws://a_b.test/", URL(False, "a_b.test", 80, "/")),
        ("ws://h/\N{SNOWMAN} x?\N{SNOWMAN}", URL(False, "h", 80, "/%E2%98%83%20x?%E2%98%83")),
        ("ws://h/%2f?a=%26", URL(False, "h", 80, "/%2f?a=%26")),
        ("ws://u%40:p%3a@h/", URL(False, "h", 80, "/", "u@", "p:")),
        ("ws://u:@h/", URL(False, "h", 80, "/", "u", "")),
    ],
)
def test_what_is_one(url: str, parsed: URL) -> None:
    assert parse_url(url) == parsed


@pytest.mark.parametrize(
    "url",
    [
        "",
        "server.test",
        "/path",
        "http://h/",
        "ws:h",
        "ws://",
        "ws:///path",
        "ws://:80/",
        "ws://h/#fragment",
        "ws://h/#",
        "ws://h:port/",
        "ws://h:65536/",
        "ws://h:-1/",
        "ws://[::1/",
        "ws://user@h/",
        "ws://a b/",
        "ws://a<b/",
        "ws://a\\b/",
        "ws://a|b/",
        "ws://%00/",
        "ws://\x7f/",
        "ws://\u2028/",
        "ws://..\N{LATIN SMALL LETTER E WITH ACUTE}/",
        f"ws://{'a' * 64}\N{LATIN SMALL LETTER E WITH ACUTE}/",
    ],
)
def test_what_is_none(url: str) -> None:
    with pytest.raises(UsageError):
        parse_url(url)


@pytest.mark.parametrize(
    "rest",
    ["h/#f", "s3cret#s3cret@h/", "h:99999/", "a b/", "", "[::1/", "\u2028/", "h/?token=s3cret#f", "h/#s3cret@h"],
)
@pytest.mark.parametrize("scheme", ["ws", "WS", "ftp"])
@pytest.mark.parametrize("password", ["s3cret", "s3cret/s3cret", "s3cret@s3cret", "s3cret?s3cret", "s3cret\N{CARE OF}"])
def test_errors_never_show_the_password(scheme: str, rest: str, password: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse_url(f"{scheme}://user:{password}@{rest}")
    assert "s3cret" not in str(raised.value)
    assert "s3cret" not in "".join(traceback.format_exception(raised.value))


def test_nor_do_representations() -> None:
    assert "s3cret" not in repr(parse_url("ws://user:s3cret@h/?token=s3cret"))


@pytest.mark.parametrize(
    "host", ["localhost", "LocalHost", "localhost.", "a.localhost", "127.0.0.1", "127.9.9.9", "::1"]
)
def test_this_machine_by_its_names(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["localhost.test", "alocalhost", "126.0.0.1", "::", "0.0.0.0", "fe80::1%lo", ""])
def test_no_other_names_are_this_machine(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("url", "authority"),
    [
        ("ws://h", "h"),
        ("ws://h:80", "h"),
        ("wss://h:443", "h"),
        ("ws://h:443", "h:443"),
        ("wss://h:80", "h:80"),
        ("ws://[::1]", "[::1]"),
        ("wss://[::1]:8443", "[::1]:8443"),
        ("ws://[fe80::1%eth0]:8080", "[fe80::1]:8080"),
    ],
)
def test_the_host_field_has_no_port_of_the_scheme_and_no_zone_of_ours(url: str, authority: str) -> None:
    assert parse_url(url).authority == authority


def test_an_origin_is_scheme_host_and_port() -> None:
    assert parse_url("ws://H/a").origin == parse_url("ws://h:80/b?c").origin
    for other in ("wss://h/", "ws://i/", "ws://h:81/"):
        assert parse_url(other).origin != parse_url("ws://h/").origin
