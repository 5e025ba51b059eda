"""Redirects: where they lead, and who gets to see which credentials (RFC 9110 §15.4, Fetch §4.4)."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
from peer.certificates import authority, client_context, identity

import everwire
from everwire import HandshakeFailed, Headers, Response, UsageError
from everwire.client.identity import without_identity
from everwire.client.redirects import HandshakeRequest
from everwire.http import parse_url

SECRETS = {"Authorization": "Bearer x", "Cookie": "a=b", "Proxy-Authorization": "Basic eA==", "X-Kept": "yes"}


def refused(location: str | None, status: int = 302, proxy: str | None = None) -> HandshakeFailed:
    """A server's answer that leads elsewhere."""
    headers = Headers() if location is None else Headers([("Location", location)])
    return HandshakeFailed("no", Response(status, "Found", headers), proxy=proxy)


def follow(uri: str, location: str, headers: dict[str, str] | None = None, *subprotocols: str) -> HandshakeRequest:
    """Where an answer leads that must be followed."""
    request = HandshakeRequest.parse(uri, Headers(headers or {}), subprotocols).follow(refused(location), None)
    assert request is not None
    return request


def names(request: HandshakeRequest) -> set[str]:
    """The fields of the request."""
    return {name for name, _ in request.fields}


class TestWhere:
    @pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
    def test_these_statuses_lead_elsewhere(self, status: int) -> None:
        request = HandshakeRequest.parse("ws://a/", Headers()).follow(refused("ws://a/b", status), None)
        assert request is not None
        assert request.uri == "ws://a/b"

    @pytest.mark.parametrize("status", [101, 200, 304, 305, 306, 400, 404, 500])
    def test_others_do_not(self, status: int) -> None:
        assert HandshakeRequest.parse("ws://a/", Headers()).follow(refused("ws://a/b", status), None) is None

    def test_nor_does_an_answer_without_a_location(self) -> None:
        assert HandshakeRequest.parse("ws://a/", Headers()).follow(refused(None), None) is None
        assert HandshakeRequest.parse("ws://a/", Headers()).follow(HandshakeFailed("no"), None) is None

    def test_a_proxy_leads_nowhere(self) -> None:
        answer = refused("ws://evil/", proxy="http://proxy:80")
        assert HandshakeRequest.parse("ws://a/", Headers()).follow(answer, None) is None

    @pytest.mark.parametrize(
        ("uri", "location", "expected"),
        [
            ("ws://a/b/c", "d", "ws://a/b/d"),
            ("ws://a/b/c", "/d", "ws://a/d"),
            ("ws://a/b/c", "../d?e=f", "ws://a/d?e=f"),
            ("ws://a/b?c=d", "?e=f", "ws://a/b?e=f"),
            ("wss://a/b", "//c/d", "wss://c/d"),
            ("ws://a/", "http://b/c", "ws://b/c"),
            ("ws://a/", "https://b/c", "wss://b/c"),
            ("ws://a/", "HTTPS://b/c", "wss://b/c"),
            ("ws://a:1/", "ws://a:2/", "ws://a:2/"),
            ("ws://a/b", "/c#fragment", "ws://a/c"),
        ],
    )
    def test_locations_may_be_relative_or_of_http(self, uri: str, location: str, expected: str) -> None:
        assert follow(uri, location).uri == expected

    @pytest.mark.parametrize("location", ["ws://b/", "http://a/", "ws://a/"])
    def test_never_from_tls_to_plain_text(self, location: str) -> None:
        with pytest.raises(HandshakeFailed, match="non-secure"):
            HandshakeRequest.parse("wss://a/", Headers()).follow(refused(location), None)

    @pytest.mark.parametrize(
        "location",
        ["ftp://a/", "file:///etc/passwd", "javascript:alert(1)", "ws://a:b/", "ws://[::1", "//[", "ws://u@a/"],
    )
    def test_what_is_no_websocket_is_not_followed(self, location: str) -> None:
        with pytest.raises(HandshakeFailed, match="cannot follow redirect"):
            HandshakeRequest.parse("ws://a/", Headers()).follow(refused(location), None)

    def test_an_explicit_place_is_tied_to_its_origin(self) -> None:
        request = HandshakeRequest.parse("ws://a/", Headers())
        assert request.follow(refused("/b"), "a Unix socket") is not None
        with pytest.raises(UsageError, match="cross-origin redirect to ws://b/ with a Unix socket"):
            request.follow(refused("ws://b/"), "a Unix socket")


ELSEWHERE = ["ws://b/", "ws://a:81/", "wss://a/", "http://b/", "//b/"]


class TestCredentials:
    def test_the_same_origin_gets_all_of_them(self) -> None:
        assert names(follow("ws://a/", "ws://A:80/b", SECRETS)) == set(SECRETS)

    @pytest.mark.parametrize("location", ELSEWHERE)
    def test_another_origin_gets_none(self, location: str) -> None:
        assert names(follow("ws://a/", location, SECRETS)) == {"X-Kept"}
        assert names(follow("ws://a/", location, {name.upper(): value for name, value in SECRETS.items()})) == {
            "X-KEPT"
        }

    def test_they_do_not_come_back(self) -> None:
        there = follow("ws://a/", "ws://b/", SECRETS)
        back = there.follow(refused("ws://a/"), None)
        assert back is not None
        assert names(back) == {"X-Kept"}

    def test_those_of_the_url_stay_with_its_origin(self) -> None:
        for location in ("/b", "ws://a/b"):
            assert ("Authorization", "Basic dTpw") in follow("ws://u:p@a/", location).fields

    @pytest.mark.parametrize("location", ELSEWHERE)
    def test_another_origin_does_not_get_those_of_the_url(self, location: str) -> None:
        assert names(follow("ws://u:p@a/", location)) == set()

    def test_a_redirect_may_bring_its_own(self) -> None:
        assert ("Authorization", "Basic dTpw") in follow("ws://a/", "ws://u:p@b/", SECRETS).fields
        assert ("Authorization", "Basic dTpw") in follow("ws://x:y@a/", "ws://u:p@a/b").fields

    @pytest.mark.parametrize(
        ("offered", "left"),
        [
            (["chat", "superchat"], ["chat", "superchat"]),
            (["bearer", "s3cret"], []),
            (["chat", "Bearer", "s3cret", "superchat"], ["chat", "superchat"]),
            (["access_token", "bearer", "chat"], ["chat"]),
            (["v4.channel.k8s.io", "base64url.bearer.authorization.k8s.io.c2VjcmV0"], ["v4.channel.k8s.io"]),
            (["chat", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0."], ["chat"]),
            (["token-s3cret", "chat"], ["chat"]),
            (["tokenizer", "author", "eyes"], ["tokenizer", "author", "eyes"]),
        ],
    )
    def test_tokens_in_subprotocols_stay_with_their_origin(self, offered: list[str], left: list[str]) -> None:
        assert follow("ws://a/", "ws://b/", None, *offered).subprotocols == tuple(left)
        assert follow("ws://a/", "/b", None, *offered).subprotocols == tuple(offered)


class TestTLS:
    def request(self, tls: everwire.TLS | ssl.SSLContext, **more: Any) -> HandshakeRequest:
        return HandshakeRequest("wss://a/", parse_url("wss://a/"), Headers(), (), tls, **more)

    def with_certificate(self, folder: Path) -> list[everwire.TLS | ssl.SSLContext]:
        """One of each kind that shows a certificate and trusts an authority."""
        certificate, key = identity().write(folder)
        context = client_context()
        context.load_cert_chain(certificate, key)
        return [everwire.TLS(certificate, key, trust=authority().pem), context]

    def test_the_same_origin_sees_the_certificate_and_has_the_same_name(self, tmp_path: Path) -> None:
        for tls in self.with_certificate(tmp_path):
            further = self.request(tls, server_hostname="name").follow(refused("/b"), None)
            assert further is not None
            assert (further.tls, further.server_hostname) == (tls, "name")

    def test_another_origin_gets_neither(self, tmp_path: Path) -> None:
        for tls in self.with_certificate(tmp_path):
            further = self.request(tls, server_hostname="name").follow(refused("wss://b/"), None)
            assert further is not None
            assert further.tls is not tls
            assert further.server_hostname is None
            back = further.follow(refused("wss://a/"), None)
            assert back is not None
            assert back.tls is not tls
            assert back.server_hostname is None

    def test_a_context_that_shows_none_goes_along_with_all_that_it_trusts(self) -> None:
        for context in (client_context(), ssl.create_default_context(cadata=identity().certificate.decode())):
            assert without_identity(context) is context

    def test_of_a_subclass_nobody_knows(self) -> None:
        class Context(ssl.SSLContext):
            pass

        context = Context(ssl.PROTOCOL_TLS_CLIENT)
        assert without_identity(context) is not context

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    def test_a_certificate_is_found_with_each_version(self, version: ssl.TLSVersion, tmp_path: Path) -> None:
        context = client_context()
        context.minimum_version = context.maximum_version = version
        assert without_identity(context) is context
        context.load_cert_chain(*identity().write(tmp_path))
        assert without_identity(context) is not context

    def test_a_context_is_made_anew_with_its_trust(self, tmp_path: Path) -> None:
        context = ssl.create_default_context(cadata=authority().pem.decode())
        context.load_cert_chain(*identity().write(tmp_path))
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        copy = without_identity(context)
        assert isinstance(copy, ssl.SSLContext)
        assert copy is not context
        for name in ("verify_mode", "check_hostname", "verify_flags", "options", "minimum_version", "security_level"):
            assert getattr(copy, name) == getattr(context, name)
        assert copy.get_ca_certs(binary_form=True) == context.get_ca_certs(binary_form=True)
        assert [one["name"] for one in copy.get_ciphers()] == [one["name"] for one in context.get_ciphers()]

    def test_one_that_trusts_anybody_goes_on_to(self, tmp_path: Path) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_cert_chain(*identity().write(tmp_path))
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        copy = without_identity(context)
        assert isinstance(copy, ssl.SSLContext)
        assert (copy.check_hostname, copy.verify_mode) == (False, ssl.CERT_NONE)

    def test_tls_without_a_certificate_is_as_it_was(self) -> None:
        tls = everwire.TLS(trust=authority().pem)
        assert without_identity(tls) is tls


@pytest.mark.parametrize("location", ["ws://u:s3cret@b/", "WS://u:s3@cret@b/?token=s3cret"])
def test_no_error_shows_a_secret_of_the_url(location: str) -> None:
    with pytest.raises(HandshakeFailed, match="non-secure") as insecure:
        HandshakeRequest.parse("wss://a/", Headers()).follow(refused(location), None)
    with pytest.raises(UsageError, match="with a Unix socket") as tied:
        HandshakeRequest.parse("ws://a/", Headers()).follow(refused(location), "a Unix socket")
    for raised in (insecure, tied):
        assert "cret" not in str(raised.value)
    assert "cret" not in repr(HandshakeRequest.parse(location, Headers({"Authorization": "s3cret"}), ["s3cret"]))


@pytest.mark.parametrize(
    "location", ["ws://u:s3cret@b:x/", "ws://u:s3cret@[", "//u:s3cret@[", "ftp://u:s3cret@b/", "ws://s3cret@b/"]
)
def test_nor_does_one_about_a_location_that_is_no_url(location: str) -> None:
    with pytest.raises(HandshakeFailed, match="cannot follow redirect") as raised:
        HandshakeRequest.parse("ws://a/", Headers()).follow(refused(location), None)
    assert "s3cret" not in str(raised.value)
