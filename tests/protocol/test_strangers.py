"""What strangers ask for, with everything of ours that looks at a request switched on: nothing of it is a fault of the server."""

from __future__ import annotations

import logging
import re

import pytest
from peer.client import RawClient, request

import everwire

REPEATED = '"{}" occurs more than once: send it exactly once\n'


def look(connection, request):
    """A hook that reads all that there is to read."""
    connection.seen = request.path, request.query, request.cookies, dict(request.headers.raw_items())


def look_for_a_token(connection, request):
    """A hook as the documentation has it."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    assert isinstance(scheme + token, str)


HOOKS = {
    "look": {"process_request": look},
    "token": {"process_request": look_for_a_token},
    "basic_auth": {"process_request": everwire.basic_auth("realm", ("anna", "correct horse"))},
    "origins": {"origins": [re.compile(r"https://\w+\.example"), None]},
    "subprotocol": {"select_subprotocol": lambda connection, offered: next(iter(offered), None)},
    "subprotocols": {"subprotocols": ["chat"], "process_request": look},
    "response": {"process_response": lambda connection, request, response: None},
    "proxies": {"trusted_proxies": ["127.0.0.1"], "forwarded": "forwarded", "process_request": look},
    "engine": {},
}

REQUESTS = {
    "a bracket for a host": request("//[?t=y"),
    "another bracket": request("//evil.example]/x?t=y"),
    "absolute": request("http://[::1]:80/a?b=c"),
    "absolute nonsense": request("http://[::1/a?b=c"),
    "percent": request("/%zz%?%=%&%ff=%00%0d%0a"),
    "semicolons": request("/?" + ";&" * 3000),
    "two Origins": request("/", "Origin: https://a.example", "Origin: https://b.example"),
    "Origin is nonsense": request("/", "Origin: \xe9://[ ]"),
    "two Authorizations": request("/", "Authorization: Basic YTpi", "Authorization: Basic YTpi"),
    "credentials are nonsense": request("/", "Authorization: Basic \xe9=="),
    "credentials are control characters": request("/", "Authorization: Basic AGE6Ygo="),
    "two Cookies": request("/", "Cookie: a=b", "Cookie: ;;=;\xe9=\"; c=d"),
    "bytes": request("/", "X: \xff\xfe\x80").replace("\xff\xfe\x80".encode(), b"\xff\xfe\x80"),
    "no Host": request(without=("Host",)),
    "two Hosts": request("/", "Host: localhost"),
    "Host is nonsense": request(host="[::1"),
    "Host is bytes": request(host="\xe9"),
    "two keys": request("/", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
    "two versions": request("/", "Sec-WebSocket-Version: 13"),
    "subprotocols are nonsense": request("/", "Sec-WebSocket-Protocol: ,\xe9, chat"),
    "subprotocol twice": request("/", "Sec-WebSocket-Protocol: chat", "Sec-WebSocket-Protocol: chat"),
    "extensions are nonsense": request("/", "Sec-WebSocket-Extensions: ;=\"\xe9"),
    "forwarded is nonsense": request("/", "Forwarded: for=\"[\", ;;=\xe9", "X-Forwarded-For: [::1"),
    "no upgrade": request("//[?t=y", without=("Upgrade",)),
    "another method": request(line="POST //[?t=y HTTP/1.1"),
    "HTTP/1.0": request(line="GET //[?t=y HTTP/1.0", without=("Host",)),
    "a body": request("//[?t=y", "Content-Length: 3") + b"abc",
}  # fmt: skip


@pytest.mark.parametrize("data", REQUESTS.values(), ids=REQUESTS)
@pytest.mark.parametrize("options", HOOKS.values(), ids=HOOKS)
async def test_no_request_is_a_fault_of_the_server(serving, caplog, options, data):
    async with serving(**options) as address, await RawClient.connect(address) as client:
        client.write(data)
        head = await client.head()
        assert head.status < 500 or head.status == 505
        if head.status != 101:
            assert await client.text(head)
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


@pytest.mark.parametrize(
    ("fields", "hook", "name"),
    [
        (["Authorization: Bearer a", "authorization: Bearer b"], "token", "Authorization"),
        (["Authorization: Basic YTpi"] * 2, "basic_auth", "Authorization"),
        (["Origin: https://a.example"] * 2, "origins", "Origin"),
        (["Origin: https://a.example"] * 2, "look", "Origin"),
        (["Origin: https://a.example"] * 2, "engine", "Origin"),
    ],
)
async def test_a_field_that_came_twice_is_named(serving, say, fields, hook, name):
    async with serving(**HOOKS[hook]) as address, await RawClient.connect(address) as client:
        await say(client, request("/", *fields))
        head = await client.head()
        assert (head.status, await client.text(head)) == (400, REPEATED.format(name))


async def test_a_field_of_somebody_else_that_came_twice_is_a_fault_of_the_hook(serving, caplog):
    def process_request(connection, request):
        return everwire.Headers([("Authorization", "a"), ("Authorization", "b")])["Authorization"]

    async with serving(process_request=process_request) as address, await RawClient.connect(address) as client:
        client.write(request("/", "Authorization: a", "Authorization: b"))
        assert (await client.head()).status == 500
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "MultipleValuesError" in record.exc_text


async def test_the_good_cookies_and_the_query_of_a_stranger_arrive(serving):
    seen = []

    def process_request(connection, request):
        seen.append((request.query, request.cookies))

    async with serving(process_request=process_request) as address:
        async with await RawClient.open(address, "Cookie: prefs=a b; session=abc", target="//[?t=y"):
            pass
    assert seen == [({"t": "y"}, {"prefs": "a b", "session": "abc"})]
