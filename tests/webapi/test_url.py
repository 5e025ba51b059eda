"""URLs as browsers read them: the cases of the URL standard that a WebSocket can meet."""

from __future__ import annotations

import pytest

from everwire import UsageError
from everwire.browser.url import normalized, origin
from everwire.http.url import parse_url

READ = {
    "ws://example.com": "ws://example.com/",
    " \tws://example.com/ \n": "ws://example.com/",
    "ws://exa\nmple.com/a\tb": "ws://example.com/ab",
    "WSS://EXAMPLE.com:443/": "wss://example.com/",
    "https://example.com/x": "wss://example.com/x",
    "http://example.com:8080": "ws://example.com:8080/",
    "ws:example.com": "ws://example.com/",
    "ws:/example.com": "ws://example.com/",
    "ws:////example.com": "ws://example.com/",
    "ws:\\\\example.com\\a\\b": "ws://example.com/a/b",
    "ws://example.com?x": "ws://example.com/?x",
    "ws://example.com/?": "ws://example.com/?",
    "ws://example.com:/": "ws://example.com/",
    "ws://example.com:00080/": "ws://example.com/",
    "ws://example.com:65535/": "ws://example.com:65535/",
    "ws://example.com/a/./b/../c": "ws://example.com/a/c",
    "ws://example.com/a/b/..": "ws://example.com/a/",
    "ws://example.com/a/.": "ws://example.com/a/",
    "ws://example.com/../../a": "ws://example.com/a",
    "ws://example.com/%2E%2e/a": "ws://example.com/a",
    "ws://example.com/a b?c d'\"<>": "ws://example.com/a%20b?c%20d%27%22%3C%3E",
    "ws://example.com/å?å": "ws://example.com/%C3%A5?%C3%A5",
    "ws://example.com/%41%zz": "ws://example.com/%41%zz",
    "ws://example.com//a//b": "ws://example.com//a//b",
    "ws://ex%61mple.com/": "ws://example.com/",
    "ws://bücher.example/": "ws://xn--bcher-kva.example/",
    "ws://127.1/": "ws://127.0.0.1/",
    "ws://0x7f.0.0.1/": "ws://127.0.0.1/",
    "ws://2130706433/": "ws://127.0.0.1/",
    "ws://127.0.0.1./": "ws://127.0.0.1/",
    "ws://[::1]:8080/": "ws://[::1]:8080/",
    "ws://[0:0:0:0:0:0:0:1]/": "ws://[::1]/",
    "ws://user:pass@example.com/": "ws://user:pass@example.com/",
    "ws://us er:p@ss@example.com/": "ws://us%20er:p%40ss@example.com/",
}

REFUSED = [
    "ws://",
    "ws:///",
    "ws://?x",
    "ws://:80/",
    "ws://example.com:65536/",
    "ws://example.com:port/",
    "ws://example.com:-1/",
    "ws://exa mple.com/",
    "ws://exa<mple.com/",
    "ws://exa%00mple.com/",
    "ws://exa%20mple.com/",
    "ws://exa%ffmple.com/",
    "ws://[::1/",
    "ws://[::g]/",
    "ws://[fe80::1%25eth0]/",
    "ws://256.0.0.1/",
    "ws://1.2.3.4.5/",
    "ws://example.com/#",
    "ws://example.com/#a",
    "file:///tmp",
    "1ws://example.com",
    "",
]


@pytest.mark.parametrize(("given", "written"), READ.items())
def test_a_url_is_written_as_browsers_write_it(given: str, written: str) -> None:
    assert normalized(given) == written


@pytest.mark.parametrize("given", READ.values())
def test_what_was_written_is_read_alike_by_everybody(given: str) -> None:
    assert normalized(given) == given
    parse_url(given)


@pytest.mark.parametrize("given", REFUSED)
def test_what_is_no_url_is_refused(given: str) -> None:
    with pytest.raises(UsageError, match="URL"):
        normalized(given)


def test_the_origin_is_without_user_path_and_query() -> None:
    assert origin(normalized("https://user:pass@Example.com:444/a?b")) == "wss://example.com:444"
