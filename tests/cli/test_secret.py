"""Tokens are read, and never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from everwire.cli.endpoint import Endpoint
from everwire.cli.opening import Opening
from everwire.cli.secret import hidden_field, hidden_url, read_token


def test_a_token_is_taken_as_it_is_or_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from.file\n")
    assert (read_token("as.is"), read_token(f"@{tmp_path}/token")) == ("as.is", "from.file")


@pytest.mark.parametrize("token", ["", "a b", "a\nb", "grün", "a\x00"])
def test_a_token_that_cannot_stand_in_a_field_is_refused(token: str) -> None:
    with pytest.raises(ValueError, match="the token"):
        read_token(token)


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("Authorization", "Bearer abc", "Bearer ***"),
        ("Authorization", "abc", "***"),
        ("Proxy-Authorization", "Basic abc", "Basic ***"),
        ("Cookie", "session=abc; a=b", "***"),
        ("Set-Cookie", "session=abc", "***"),
        ("X-Auth-Token", "abc", "***"),
        ("X-API-Key", "abc", "***"),
        ("Sec-WebSocket-Key", "abc", "abc"),
        ("Sec-WebSocket-Accept", "abc", "abc"),
        ("Host", "example.com", "example.com"),
    ],
)
def test_fields_that_are_secret_are_masked(name: str, value: str, shown: str) -> None:
    assert hidden_field(name, value) == shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("ws://user:pass@host/x", "ws://user:***@host/x"),
        ("wss://host/x?token=a&b=c&api_key=d", "wss://host/x?token=***&b=c&api_key=***"),
        ("/x?access%5Ftoken=a", "/x?access%5Ftoken=***"),
        ("/x?token", "/x?token"),
        ("ws://host:80/@x", "ws://host:80/@x"),
    ],
)
def test_urls_are_shown_without_secrets(url: str, shown: str) -> None:
    assert hidden_url(url) == shown


def test_a_token_is_not_in_a_repr() -> None:
    assert "s3cret" not in repr(Opening(endpoint=Endpoint.parse("localhost"), token="s3cret"))
