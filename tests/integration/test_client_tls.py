"""What a client trusts, shows and says in TLS: the engine's own, and that of an ``ssl.SSLContext``."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from peer.certificates import authority, client_context, identity, server_context
from peer.frames import TEXT, encode
from peer.http import read_head
from peer.server import answer
from peer.timing import MS

import everwire
from everwire import TLS

from .conftest import echo

MODULE = importlib.import_module("everwire.client.connect")
"""That of :func:`everwire.connect`: the function has the shorter name in its package."""

CLIENT = authority("clients").issue("client.test")


@contextlib.asynccontextmanager
async def serving(tls: Any = None, **options: Any) -> AsyncIterator[int]:
    """An echoing server with the usual certificate; gives its port."""
    tls = tls or TLS(identity().certificate, identity().key, **options)
    async with everwire.serve(echo, "127.0.0.1", 0, ssl=tls, allowed_hosts=["*"]) as server:
        yield server.sockets[0].getsockname()[1]


@contextlib.asynccontextmanager
async def streams(behave: Any, **options: Any) -> AsyncIterator[int]:
    """A server of asyncio's own whose connections have ended when it has: up to Python 3.11 it does not see to that itself."""
    writers: list[asyncio.StreamWriter] = []
    tasks: list[asyncio.Task[Any]] = []

    async def noted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        tasks.append(asyncio.ensure_future(behave(reader, writer)))

    async with await asyncio.start_server(noted, "127.0.0.1", 0, **options) as server:
        yield server.sockets[0].getsockname()[1]
        for writer in writers:
            writer.transport.abort()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(10 * MS)


async def answers(port: int, name: str = "localhost", **options: Any) -> bool:
    """Whether a client gets through; every name leads to this machine."""
    options.setdefault("host", "127.0.0.1")
    async with everwire.connect(f"wss://{name}:{port}/", **options) as client:
        await client.send("hello")
        return bool(await client.recv() == "hello")


class TestTrust:
    async def test_an_authority_from_a_file_or_as_bytes(self, tmp_path: Path) -> None:
        path = tmp_path / "ca.pem"
        path.write_bytes(authority().pem)
        async with serving() as port:
            for trust in (authority().pem, path, str(path)):
                assert await answers(port, ssl=TLS(trust=trust))

    async def test_the_very_certificate(self) -> None:
        async with serving() as port:
            assert await answers(port, ssl=TLS(trust=identity().certificate))

    @pytest.mark.parametrize("options", [{}, {"ssl": None}, {"ssl": True}, {"ssl": TLS(trust=authority("other").pem)}])
    async def test_nobody_else_is_trusted(self, options: dict[str, Any]) -> None:
        async with serving() as port:
            with pytest.raises(everwire.HandshakeFailed, match="certificate is issued by nobody trusted") as raised:
                await answers(port, **options)
        assert isinstance(raised.value.__cause__, ssl.SSLCertVerificationError)

    async def test_nobody_else_is_trusted_by_a_context(self) -> None:
        async with serving() as port:
            with pytest.raises(everwire.HandshakeFailed, match="the server's certificate is refused") as raised:
                await answers(port, ssl=ssl.create_default_context())
        assert isinstance(raised.value.__cause__, ssl.SSLCertVerificationError)

    async def test_the_files_of_the_environment_are_the_roots(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "roots").mkdir()
        for path in (tmp_path / "roots.pem", tmp_path / "roots" / "one.pem"):
            path.write_bytes(authority().pem)
        async with serving() as port:
            for variable, value in (("SSL_CERT_FILE", tmp_path / "roots.pem"), ("SSL_CERT_DIR", tmp_path / "roots")):
                with monkeypatch.context() as patch:
                    patch.delenv("SSL_CERT_FILE", raising=False)
                    patch.delenv("SSL_CERT_DIR", raising=False)
                    patch.setenv(variable, str(value))
                    # They are read when the first client needs them.
                    patch.setattr(MODULE, "_default_tls", TLS())
                    assert await answers(port)

    async def test_a_file_of_the_environment_that_is_missing_is_told(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing.pem"))
        monkeypatch.setattr(MODULE, "_default_tls", TLS())
        with pytest.raises((ValueError, OSError), match="SSL_CERT_FILE"):
            await everwire.connect("wss://nowhere.invalid/")

    async def test_without_verifying_anybody_is_trusted(self) -> None:
        async with serving() as port:
            assert await answers(port, ssl=TLS(verify=False))

    async def test_reloading_trusts_what_the_file_holds_now(self, tmp_path: Path) -> None:
        path = tmp_path / "ca.pem"
        path.write_bytes(authority("other").pem)
        tls = TLS(trust=path)
        async with serving() as port:
            with pytest.raises(everwire.HandshakeFailed):
                await answers(port, ssl=tls)
            path.write_bytes(authority().pem)
            tls.reload()
            assert await answers(port, ssl=tls)


class TestNames:
    @pytest.fixture(params=["core", "context"])
    def trusting(self, request: pytest.FixtureRequest) -> Any:
        """Both ways."""
        return TLS(trust=authority().pem) if request.param == "core" else client_context()

    async def test_the_name_of_the_url_must_be_that_of_the_certificate(self, trusting: Any) -> None:
        async with serving() as port:
            with pytest.raises(everwire.HandshakeFailed):
                await answers(port, "server.test", ssl=trusting)

    async def test_server_hostname_replaces_it(self, trusting: Any) -> None:
        async with serving() as port:
            assert await answers(port, "server.test", ssl=trusting, server_hostname="localhost")
            with pytest.raises(everwire.HandshakeFailed):
                await answers(port, ssl=trusting, server_hostname="server.test")

    async def test_addresses_are_names_too(self, trusting: Any) -> None:
        async with serving() as port:
            assert await answers(port, "127.0.0.1", ssl=trusting)

    async def test_a_trusted_certificate_for_any_name(self) -> None:
        async with serving() as port:
            tls = TLS(trust=authority().pem, check_hostname=False)
            assert await answers(port, "server.test", ssl=tls)
            with pytest.raises(everwire.HandshakeFailed):
                await answers(port, ssl=TLS(trust=authority("other").pem, check_hostname=False))


class TestClientCertificates:
    def shown(self, **options: Any) -> TLS:
        return TLS(CLIENT.certificate, CLIENT.key, trust=authority().pem, **options)

    @contextlib.asynccontextmanager
    async def asking(self, **options: Any) -> AsyncIterator[tuple[int, list[bytes | None]]]:
        """A server that wants to see certificates, and the one of each client."""
        seen: list[bytes | None] = []

        async def handler(connection: everwire.ServerConnection) -> None:
            tls = connection._tls()
            assert tls is not None
            seen.append(tls.peer_certificate)
            await echo(connection)

        tls = TLS(identity().certificate, identity().key, client_ca=authority("clients").pem, **options)
        async with everwire.serve(handler, "127.0.0.1", 0, ssl=tls) as server:
            yield server.sockets[0].getsockname()[1], seen

    async def test_the_server_sees_it(self, tmp_path: Path) -> None:
        certificate, key = CLIENT.write(tmp_path, "client")
        context = client_context()
        context.load_cert_chain(certificate, key)
        files = TLS(certificate, key, trust=authority().pem)
        async with self.asking() as (port, seen):
            for tls in (self.shown(), files, context):
                assert await answers(port, ssl=tls)
        for der in seen:
            assert der is not None
            names = x509.load_der_x509_certificate(der).extensions.get_extension_for_class(x509.SubjectAlternativeName)
            assert names.value.get_values_for_type(x509.DNSName) == ["client.test"]
        assert len(seen) == 3

    async def test_certificate_and_key_may_be_in_one_file(self, tmp_path: Path) -> None:
        path = tmp_path / "both.pem"
        path.write_bytes(CLIENT.certificate + CLIENT.key)
        async with self.asking() as (port, _):
            assert await answers(port, ssl=TLS(path, trust=authority().pem))

    async def test_without_one_the_handshake_fails(self) -> None:
        async with self.asking() as (port, seen):
            with pytest.raises(everwire.HandshakeFailed, match="certificate"):
                await answers(port, ssl=TLS(trust=authority().pem))
            with pytest.raises(everwire.HandshakeFailed):
                await answers(port, ssl=client_context())
        assert seen == []

    async def test_one_of_somebody_else_fails(self) -> None:
        stranger = authority("other").issue("client.test")
        async with self.asking() as (port, seen):
            with pytest.raises(everwire.HandshakeFailed):
                await answers(port, ssl=TLS(stranger.certificate, stranger.key, trust=authority().pem))
        assert seen == []

    async def test_where_it_is_optional_a_client_may_show_none(self) -> None:
        async with self.asking(client_optional=True) as (port, seen):
            assert await answers(port, ssl=TLS(trust=authority().pem))
            assert await answers(port, ssl=self.shown())
        assert [der is None for der in seen] == [True, False]

    async def test_an_encrypted_key_needs_its_password(self) -> None:
        encrypted = CLIENT.encrypted(b"s3cret")
        async with self.asking() as (port, _):
            for password in ("s3cret", b"s3cret"):
                tls = TLS(CLIENT.certificate, encrypted, password=password, trust=authority().pem)
                assert await answers(port, ssl=tls)
            for wrong in (None, "wrong"):
                tls = TLS(CLIENT.certificate, encrypted, password=wrong, trust=authority().pem)
                with pytest.raises(ValueError, match=r"password|decrypt"):
                    await answers(port, ssl=tls)


class TestHello:
    @contextlib.asynccontextmanager
    async def listening(self, folder: Path, **options: Any) -> AsyncIterator[tuple[int, list[Any]]]:
        """A server of asyncio's that answers one handshake, and notes what it knows of TLS."""
        context = server_context(folder)
        for name, value in options.items():
            if name == "alpn":
                context.set_alpn_protocols(value)
            else:
                setattr(context, name, value)
        seen: list[Any] = []
        context.sni_callback = lambda tls, name, _: seen.append(name)

        async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            tls = writer.get_extra_info("ssl_object")
            seen.append((tls.version(), tls.selected_alpn_protocol()))
            writer.write(answer(await read_head(reader)) + encode(TEXT, b"hello", key=None))
            await reader.read()
            writer.close()

        async with streams(behave, ssl=context) as port:
            yield port, seen

    async def heard(self, port: int, host: str = "localhost", **options: Any) -> str | bytes:
        options = {"ssl": TLS(trust=authority().pem), "close_timeout": 100 * MS, **options}
        async with everwire.connect(f"wss://{host}:{port}/", **options) as client:
            return await client.recv()

    async def test_the_server_is_told_which_name_is_meant(self, tmp_path: Path) -> None:
        async with self.listening(tmp_path) as (port, seen):
            await self.heard(port)
            await self.heard(port, "127.0.0.1")
            await self.heard(port, server_hostname="localhost", host="127.0.0.1")
        assert [entry for entry in seen if not isinstance(entry, tuple)] == ["localhost", None, "localhost"]

    async def test_http_1_1_is_offered_and_nothing_else(self, tmp_path: Path) -> None:
        async with self.listening(tmp_path, alpn=["h2", "http/1.1"]) as (port, seen):
            await self.heard(port)
        assert seen[-1][1] == "http/1.1"

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    async def test_both_versions_are_spoken(self, tmp_path: Path, version: ssl.TLSVersion) -> None:
        async with self.listening(tmp_path, minimum_version=version, maximum_version=version) as (port, seen):
            assert await self.heard(port) == "hello"
        assert seen[-1][0] == version.name.replace("_", ".")

    async def test_a_server_without_tls_is_told(self) -> None:
        async with everwire.serve(echo, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            for trust in (TLS(trust=authority().pem), client_context()):
                with pytest.raises(everwire.HandshakeFailed, match="the server does not speak TLS") as raised:
                    await self.heard(port, ssl=trust)
                assert isinstance(raised.value.__cause__, ssl.SSLError)

    @pytest.mark.parametrize(
        "said", [b"", b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", b"garbage\r\n\r\n"]
    )
    @pytest.mark.parametrize("how", ["core", "context"])
    async def test_what_comes_together_with_the_end_of_the_handshake_is_not_lost(
        self, how: str, said: bytes, tmp_path: Path
    ) -> None:
        async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(said)
            writer.close()

        trust = TLS(trust=authority().pem) if how == "core" else client_context()
        async with streams(behave, ssl=server_context(tmp_path)) as port:
            began = time.monotonic()
            with pytest.raises((everwire.HandshakeFailed, ConnectionError)):
                await self.heard(port, ssl=trust)
            assert time.monotonic() - began < 5000 * MS

    @pytest.mark.parametrize("how", ["core", "context"])
    async def test_a_server_that_never_answers_has_the_open_timeout(self, how: str) -> None:
        async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            await reader.read()
            writer.close()

        trust = TLS(trust=authority().pem) if how == "core" else client_context()
        async with streams(behave) as port:
            with pytest.raises(TimeoutError, match="timed out during opening handshake"):
                await self.heard(port, ssl=trust, open_timeout=200 * MS)


class TestArguments:
    @pytest.mark.parametrize("tls", [TLS(), ssl.create_default_context()])
    def test_tls_goes_with_wss(self, tls: Any) -> None:
        with pytest.raises(everwire.UsageError, match="goes with a wss:// URL"):
            everwire.connect("ws://localhost/", ssl=tls)

    def test_wss_goes_with_tls(self) -> None:
        with pytest.raises(everwire.UsageError, match="needs TLS"):
            everwire.connect("wss://localhost/", ssl=False)
