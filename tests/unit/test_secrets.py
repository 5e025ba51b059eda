"""What no text shows of URLs, fields and subprotocols."""

from __future__ import annotations

import pytest

from everwire import Headers, Request
from everwire.http import hidden_choice, hidden_field, hidden_subprotocols, hidden_text, hidden_url, secrets_among

JWT = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.c2ln"


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
        ("Sec-WebSocket-Protocol", f"chat, bearer, abc,{JWT}", "chat, bearer, ***, ***"),
        ("Location", "/login?ticket=abc&page=2", "/login?ticket=***&page=2"),
        ("Location", "https://user:abc@h/", "https://user:***@h/"),
        ("Referer", "see WSS://user:abc@h/?token=abc and more", "see WSS://user:***@h/?token=*** and more"),
        ("X-Anything", JWT, "***"),
        ("Host", "example.com", "example.com"),
    ],
)
def test_fields_that_are_secret_are_masked(name: str, value: str, shown: str) -> None:
    assert hidden_field(name, value) == shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("ws://user:pass@host/x", "ws://user:***@host/x"),
        ("WS://user:pass@host/x", "WS://user:***@host/x"),
        ("socks5h://user:pass@host", "socks5h://user:***@host"),
        ("ws://user:hun@ter2@host/", "ws://user:***@host/"),
        ("ws://user:hun/ter2@host/", "ws://***@host/"),
        ("ws://user:hun?ter2@host/", "ws://***@host/"),
        ("ws://token@host/", "ws://***@host/"),
        ("ws://token:@host/", "ws://***@host/"),
        ("//user:pass@host/x", "//user:***@host/x"),
        ("wss://host/x?token=a&b=c&api_key=d", "wss://host/x?token=***&b=c&api_key=***"),
        ("wss://host/?a=b&sig=x&design=y", "wss://host/?a=b&sig=***&design=y"),
        ("wss://host/#access_token=a", "wss://host/#access_token=***"),
        ("/x?access%5Ftoken=a", "/x?access%5Ftoken=***"),
        ("/x?token", "/x?token"),
        (f"/{JWT}/y?z={JWT}", "/***/y?z=***"),
        ("ws://host:80/@x", "ws://host:80/@x"),
        ("ws://[::1]:80/@x", "ws://[::1]:80/@x"),
        ("wss://host/?mail=a@b", "wss://host/?mail=a@b"),
    ],
)
def test_urls_are_shown_without_secrets(url: str, shown: str) -> None:
    assert hidden_url(url) == shown


@pytest.mark.parametrize(
    "url",
    [
        "ws://u:s3cret#s3cret@h",
        "ws:u:s3cret@h",
        "u:s3cret@h",
        "ws:\\\\u:s3cret@h",
        " WS://u:s3cret@s3cret/s3cret@h",
        "s3cret@h",
    ],
)
def test_of_a_url_that_cannot_be_read_nothing_before_the_last_at_sign_is_shown(url: str) -> None:
    shown = hidden_url(url, is_sound=False)
    assert "s3cret" not in shown
    assert shown.endswith("@h")


def test_urls_and_web_tokens_in_a_text_are_masked() -> None:
    text = f"GET 'https://idp/token?client_secret=abc' failed: {JWT} is stale, eyes.are.fine"
    assert hidden_text(text) == "GET 'https://idp/token?client_secret=***' failed: *** is stale, eyes.are.fine"


@pytest.mark.parametrize(
    ("offered", "shown"),
    [
        (["chat", "bearer", "abc", "superchat"], ["chat", "bearer", "***", "superchat"]),
        (["Authorization", "abc"], ["Authorization", "***"]),
        (["bearer.abc"], ["***"]),
        ([JWT, f"jwt.{JWT}"], ["***", "***"]),
        (["base64url.bearer.authorization.k8s.io.abc"], ["***"]),
        (["author", "tokenizer"], ["author", "tokenizer"]),
    ],
)
def test_subprotocols_that_are_tokens_are_masked(offered: list[str], shown: list[str]) -> None:
    assert hidden_subprotocols(offered) == shown


def test_a_choice_is_masked_by_what_was_offered() -> None:
    assert hidden_choice("abc", ["bearer", "abc"]) == "***"
    assert hidden_choice("bearer", ["bearer", "abc"]) == "bearer"
    assert hidden_choice("chat", ["chat"]) == "chat"
    assert hidden_choice(JWT, []) == "***"
    assert list(secrets_among(["bearer", "abc", "chat"])) == [True, True, False]


def test_representations_show_none() -> None:
    headers = Headers({"Authorization": "Bearer abc", "Host": "h"})
    assert repr(headers) == "Headers([('Authorization', 'Bearer ***'), ('Host', 'h')])"
    assert "abc" not in repr(Request("/?token=abc", headers))
    # What goes over the wire is another thing.
    assert "Bearer abc" in str(headers)
