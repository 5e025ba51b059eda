"""Where to connect to, as people write it."""

from __future__ import annotations

import pytest

import everwire
from everwire.cli.endpoint import Endpoint


@pytest.mark.parametrize(
    ("given", "url", "is_noted"),
    [
        ("ws://example.com/x", "ws://example.com/x", False),
        ("wss://localhost", "wss://localhost", False),
        ("WSS://Example.com", "WSS://Example.com", False),
        ("localhost", "ws://localhost", True),
        ("localhost:8000/path?q=1", "ws://localhost:8000/path?q=1", True),
        ("app.localhost:8000", "ws://app.localhost:8000", True),
        ("127.0.0.1:8000", "ws://127.0.0.1:8000", True),
        ("127.9.9.9", "ws://127.9.9.9", True),
        ("[::1]:8000", "ws://[::1]:8000", True),
        (":8000/path", "ws://localhost:8000/path", True),
        ("example.com", "wss://example.com", True),
        ("example.com:8443/path", "wss://example.com:8443/path", True),
        ("10.0.0.1:8000", "wss://10.0.0.1:8000", True),
        ("[2001:db8::1]", "wss://[2001:db8::1]", True),
        ("localhost.example.com", "wss://localhost.example.com", True),
        ("notlocalhost", "wss://notlocalhost", True),
    ],
)
def test_a_scheme_is_found_for_what_has_none(given: str, url: str, is_noted: bool) -> None:
    endpoint = Endpoint.parse(given)
    assert (endpoint.uri, bool(endpoint.note)) == (url, is_noted)


@pytest.mark.parametrize(
    "given", ["", " ", "/path", "?q", "http://x", "https://x", "HTTP://x", "ftp://x", "x:y", "::1", "a#b"]
)
def test_what_is_no_address_is_refused(given: str) -> None:
    with pytest.raises(everwire.UsageError):
        Endpoint.parse(given)


@pytest.mark.parametrize(
    ("given", "is_exposed"),
    [("ws://localhost", False), ("ws://[::1]", False), ("wss://example.com", False), ("ws://example.com", True)],
)
def test_plain_text_beyond_this_machine_is_exposed(given: str, is_exposed: bool) -> None:
    assert Endpoint.parse(given).is_exposed is is_exposed
