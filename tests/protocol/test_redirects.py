"""Redirects over the wire: who is asked what, and who gets to see which credentials (RFC 9110 §15.4)."""

from __future__ import annotations

import contextlib
import ssl

import pytest
from peer.certificates import authority, client_context, identity
from peer.frames import TEXT, encode
from peer.server import RawServer, answer
from peer.timing import MS

import everwire
from everwire.connection import tls_session

SECRET = {
    "Authorization": "Bearer s3cret",
    "Cookie": "a=s3cret",
    "Proxy-Authorization": "Basic s3cret",
    "X-Kept": "yes",
}


class Place:
    """A server that sends on to ``location``, or lets in without one; it keeps the heads of requests."""

    def __init__(self, location=None, status=302):
        self.location = location
        self.status = status
        self.asked = []
        self.server = RawServer(self.behave)

    @property
    def url(self):
        return self.server.url

    async def behave(self, client, head):
        self.asked.append(head)
        location = self.location(head) if callable(self.location) else self.location
        if location is None:
            protocol = head.all("sec-websocket-protocol")
            fields = [f"Sec-WebSocket-Protocol: {protocol[0].split(',')[0]}"] if protocol else []
            client.write(answer(head, *fields) + encode(TEXT, b"here", key=None))
        else:
            client.write(
                f"HTTP/1.1 {self.status} Go\r\nLocation: {location}\r\nSet-Cookie: b=c\r\nContent-Length: 0\r\n\r\n".encode()
            )
        await client.reader.read()


async def arrived(url, **options):
    """Connect, and hear what whoever lets us in has to say."""
    async with everwire.connect(url, close_timeout=50 * MS, **options) as connection:
        assert await connection.recv() == "here"


def seen(head):
    """What of the secrets came along."""
    return {name for name in SECRET if name.lower() in head}


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
async def test_each_status_leads_to_another_server_and_the_request_stays_a_get(status):
    there = Place()
    async with there.server:
        here = Place(there.url, status)
        async with here.server:
            await arrived(here.url)
        assert there.asked[0]["host"] == "{}:{}".format(*there.server.address)
    assert [head.start for head in here.asked + there.asked] == ["GET / HTTP/1.1"] * 2
    assert there.asked[0]["sec-websocket-key"] != here.asked[0]["sec-websocket-key"]


async def test_another_origin_sees_no_secrets():
    there = Place()
    async with there.server:
        here = Place(there.url)
        async with here.server:
            url = here.url.replace("ws://", "ws://user:s3cret@")
            secrets = {name: value for name, value in SECRET.items() if name != "Authorization"}
            await arrived(url, additional_headers=secrets, subprotocols=["chat", "bearer", "s3cret"])
    assert seen(here.asked[0]) == set(SECRET)
    assert here.asked[0]["sec-websocket-protocol"] == "chat, bearer, s3cret"
    assert seen(there.asked[0]) == {"X-Kept"}
    assert there.asked[0]["sec-websocket-protocol"] == "chat"
    assert "s3cret" not in repr(there.asked[0])


async def test_the_same_origin_sees_all_of_them():
    here = Place(lambda head: None if head.start.startswith("GET /new?x=y ") else "/new?x=y")
    async with here.server:
        await arrived(here.url, additional_headers=SECRET, subprotocols=["chat", "bearer", "s3cret"])
        await arrived(here.url.replace("ws://", "ws://user:s3cret@"))
    assert seen(here.asked[1]) == set(SECRET)
    assert here.asked[1]["sec-websocket-protocol"] == "chat, bearer, s3cret"
    assert here.asked[2]["authorization"] == here.asked[3]["authorization"]


async def test_cookies_that_a_redirect_sets_are_not_kept():
    here = Place(lambda head: None if head.start.startswith("GET /new ") else "/new")
    async with here.server:
        await arrived(here.url)
    assert "cookie" not in here.asked[1]


async def test_a_round_trip_through_another_origin_brings_no_secrets_back():
    there = Place()
    here = Place(lambda head: None if head.start.startswith("GET /back ") else there.url)
    async with here.server, there.server:
        there.location = f"{here.url}back"
        await arrived(here.url, additional_headers=SECRET)
    assert [seen(head) for head in here.asked] == [set(SECRET), {"X-Kept"}]


async def test_ten_are_followed_and_a_loop_ends():
    def count(head):
        number = int(head.start.split("/")[1].split(" ")[0] or 0)
        return None if number == 10 else f"/{number + 1}"

    here = Place(count)
    async with here.server:
        await arrived(here.url)
        assert len(here.asked) == 1 + 10
    loop = Place("/")
    async with loop.server:
        with pytest.raises(everwire.HandshakeFailed, match="more than 10 redirects") as raised:
            await everwire.connect(loop.url)
        assert len(loop.asked) == 1 + 10
    assert raised.value.status == 302


@pytest.mark.parametrize("location", ["ws://[::1", "//[", "ftp://elsewhere/", "mailto:x@y", "ws://:80:/"])
async def test_a_location_that_makes_no_sense_is_a_refusal(location):
    here = Place(location)
    async with here.server:
        with pytest.raises(everwire.HandshakeFailed, match="cannot follow redirect") as raised:
            await everwire.connect(here.url)
    assert raised.value.status == 302


async def test_two_servers_that_send_to_each_other_end():
    here, there = Place(), Place()
    async with here.server, there.server:
        here.location, there.location = there.url, here.url
        with pytest.raises(everwire.HandshakeFailed, match="more than 10 redirects"):
            await everwire.connect(here.url)
    assert len(here.asked) + len(there.asked) == 1 + 10


async def test_none_need_be_followed():
    there = Place()
    async with there.server:
        here = Place(there.url)
        async with here.server:
            with pytest.raises(everwire.HandshakeFailed, match="answered 302") as raised:
                await everwire.connect(here.url, max_redirects=0)
            assert raised.value.response.headers["Location"] == there.url
            await arrived(here.url, max_redirects=1)
    assert (len(here.asked), len(there.asked)) == (2, 1)


async def test_all_of_them_together_have_the_open_timeout():
    async def behave(client, head):
        client.write(b"HTTP/1.1 302 Found\r\n")
        await client.reader.read()

    async with RawServer(behave) as last:
        here = Place(last.url)
        async with here.server:
            with pytest.raises(TimeoutError, match="timed out during opening handshake"):
                await everwire.connect(here.url, open_timeout=200 * MS)


@contextlib.asynccontextmanager
async def asking(answer=None, host="127.0.0.1"):
    """A TLS server that wants to see certificates, and sends on to ``answer``; its port, and the certificates that it saw."""
    seen = []

    def look(connection, request):
        seen.append(tls_session(connection).peer_certificate)
        if answer is not None:
            response = connection.respond(302, "")
            response.headers["Location"] = answer()
            return response
        return None

    async def handler(connection):
        await connection.send("here")

    tls = everwire.TLS(identity().certificate, identity().key, client_ca=authority("clients").pem, client_optional=True)
    options = {"ssl": tls, "process_request": look, "allowed_hosts": ["*"]}
    async with everwire.serve(handler, host, 0, **options) as server:
        yield server.sockets[0].getsockname()[1], seen


def showing(kind, folder):
    """Trust in the usual authority, and a certificate to show."""
    certificate, key = authority("clients").issue("client.test").write(folder, "client")
    if kind == "core":
        return everwire.TLS(certificate, key, trust=authority().pem)
    context = client_context()
    context.load_cert_chain(certificate, key)
    return context


@pytest.mark.parametrize("kind", ["core", "context"])
async def test_another_origin_sees_no_client_certificate_and_has_to_have_its_own_name(kind, tmp_path):
    target = []
    async with (
        asking() as (there, seen_there),
        asking(target.pop) as (here, seen_here),
        asking(host="127.0.0.2") as (far, _),
    ):
        options = {"ssl": showing(kind, tmp_path), "server_hostname": "localhost"}
        target.append(f"wss://localhost:{there}/")
        await arrived(f"wss://127.0.0.1:{here}/", **options)
        assert (seen_here[0] is None, seen_there[0] is None) == (False, True)

        # The name that was given is not taken along: this one is checked against what the redirect says.
        target.append(f"wss://127.0.0.2:{far}/")
        with pytest.raises(everwire.HandshakeFailed) as raised:
            await arrived(f"wss://127.0.0.1:{here}/", **options)
        assert isinstance(raised.value.__cause__, ssl.SSLCertVerificationError)
        assert raised.value.redirect == f"wss://127.0.0.2:{far}/"


@pytest.mark.parametrize("kind", ["core", "context"])
async def test_the_same_origin_sees_the_certificate_again(kind, tmp_path):
    target = ["/again"]
    async with asking(lambda: target.pop() if target else "ws://elsewhere/") as (here, seen):
        with pytest.raises(everwire.HandshakeFailed, match="non-secure"):
            await arrived(f"wss://127.0.0.1:{here}/", ssl=showing(kind, tmp_path))
        assert [one is None for one in seen] == [False, False]
