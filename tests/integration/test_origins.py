"""Origins: whose pages may connect, compared as origins and not as strings (RFC 6454 §4)."""

from __future__ import annotations

import re

import pytest
from peer.client import RawClient, request

import everwire


async def answer(server: everwire.Server, *fields: str, host: str = "localhost") -> int:
    """The status of the answer to a handshake with these fields."""
    async with await RawClient.connect(server.sockets[0].getsockname()) as client:
        client.write(request("/", *fields, host=host))
        return (await client.head()).status


@pytest.mark.parametrize(
    ("origins", "origin", "status"),
    [
        (["https://good.example"], "https://good.example", 101),
        (["https://good.example"], "HTTPS://Good.Example:443", 101),
        (["https://good.example:443"], "https://good.example", 101),
        (["https://good.example"], "http://good.example", 403),
        (["https://good.example"], "https://good.example:8443", 403),
        (["https://good.example"], "https://good.example.evil.example", 403),
        (["https://good.example"], "https://evil.example", 403),
        (["https://good.example"], "null", 403),
        (["https://good.example"], None, 403),
        (["https://good.example", None], None, 101),
        ([None], "https://good.example", 403),
        ([None], None, 101),
        ("*", "https://evil.example", 101),
        ("*", None, 101),
        ([re.compile(r"https://\w+\.good\.example")], "https://app.good.example", 101),
        ([re.compile(r"https://\w+\.good\.example")], "https://app.good.example.evil.example", 403),
        ([re.compile(r"https://\w+\.good\.example")], "https://evil.example/https://app.good.example", 400),
        ([re.compile(r"https://\w+\.good\.example")], None, 403),
        ([re.compile(r"https://\w+\.good\.example"), None], None, 101),
        ([re.compile(r"https://\w+\.good\.example"), "https://other.example"], "https://other.example", 101),
        ([re.compile(r"https://\w+\.good\.example"), "https://other.example"], "https://OTHER.example:443", 101),
    ],
)
async def test_the_list_decides(line, origins, origin, status):
    async with line.serve(lambda connection: None, origins=origins) as server:
        assert await answer(server, *([] if origin is None else [f"Origin: {origin}"])) == status


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("localhost", None, 101),
        ("localhost:8000", "http://localhost:8000", 101),
        ("127.0.0.1", "http://localhost:3000", 101),
        ("localhost", "https://evil.example", 403),
        ("localhost", "null", 403),
        ("evil.example", "http://evil.example", 403),
        ("evil.example", None, 101),
        ("named.example", "http://named.example", 101),
    ],
)
async def test_by_default_a_loopback_server_is_for_loopback_pages(line, host, origin, status):
    """A page that makes its own name point to 127.0.0.1 (DNS rebinding) is refused."""
    async with line.serve(lambda connection: None, allowed_hosts=["named.example"]) as server:
        fields = [] if origin is None else [f"Origin: {origin}"]
        assert await answer(server, *fields, host=host) == status


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("public.example", "http://public.example", 101),
        ("public.example:8000", "http://public.example:8000", 101),
        ("public.example", "http://other.example", 403),
        ("public.example", "https://public.example:8443", 403),
        ("public.example", None, 101),
    ],
)
async def test_by_default_a_public_server_is_for_the_pages_of_its_own_host(host, origin, status):
    async with everwire.serve(lambda connection: None, "0.0.0.0", 0, allow_plaintext=True) as server:
        fields = [] if origin is None else [f"Origin: {origin}"]
        address = ("127.0.0.1", server.sockets[0].getsockname()[1])
        async with await RawClient.connect(address) as client:
            client.write(request("/", *fields, host=host))
            assert (await client.head()).status == status


async def test_what_is_no_origin_is_refused_with_400(line):
    async with line.serve(lambda connection: None, origins="*") as server:
        for wrong in ("good.example", "https://", "https://a b", "https://good.example/path"):
            assert await answer(server, f"Origin: {wrong}") == 400
        assert await answer(server, "Origin: https://a.example", "Origin: https://b.example") == 400


async def test_a_refused_origin_is_told_why_and_is_logged(line, caplog):
    caplog.set_level("INFO")
    async with line.serve(lambda connection: None, origins=["https://good.example"]) as server:
        with pytest.raises(everwire.HandshakeFailed) as raised:
            await line.connect(server, origin="https://evil.example")
        assert b"not allowed" in raised.value.response.body
    assert any("403" in record.message for record in caplog.records)


@pytest.mark.parametrize(
    "wrong", [["good.example"], ["https://good.example/path"], ["*"], [""], [re.compile("x"), "good.example"]]
)
async def test_what_is_no_origin_in_the_list_is_a_mistake(line, wrong):
    with pytest.raises(everwire.UsageError, match="origin"):
        await line.serve(lambda connection: None, origins=wrong)


async def test_a_single_origin_instead_of_a_list_is_a_mistake(line):
    with pytest.raises(everwire.UsageError, match="origin"):
        await line.serve(lambda connection: None, origins="https://good.example")
