"""Whom the command trusts, and what it says to who it does not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from peer.certificates import authority, identity

import everwire

from .conftest import Command

Serve = Callable[..., Awaitable[str]]

WARNING = "everwire: WARNING: --insecure trusts anybody: whoever sits on the path can read and change everything\n"


@pytest.fixture
async def secure(serve: Serve) -> str:
    """The address of a server with a certificate of an authority that nobody knows."""

    async def handler(connection: everwire.ServerConnection) -> None:
        await connection.send("hello")

    return await serve(handler, ssl=everwire.TLS(identity().certificate, identity().key))


async def test_a_certificate_of_nobody_trusted_is_3_and_the_options_are_named(command: Command, secure: str) -> None:
    outcome = await command.run("connect", secure)
    assert (outcome.code, outcome.out) == (3, b"")
    assert outcome.err.startswith(f"everwire: cannot connect to {secure}: ")
    assert outcome.err.endswith("; --cacert FILE trusts it, --insecure trusts anybody\n")


async def test_insecure_trusts_anybody_and_warns(command: Command, secure: str) -> None:
    outcome = await command.run("connect", secure, "--insecure")
    assert (outcome.code, outcome.lines, outcome.err) == (0, ["hello"], WARNING)


async def test_cacert_trusts_an_authority(command: Command, secure: str, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(authority().pem)
    outcome = await command.run("connect", secure, "--cacert", f"{tmp_path}/ca.pem")
    assert (outcome.code, outcome.lines, outcome.err) == (0, ["hello"], "")


async def test_a_file_without_a_certificate_is_refused(command: Command, secure: str, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    outcome = await command.run("connect", secure, "--cacert", f"{tmp_path}/ca.pem")
    assert outcome.code == 2
    assert outcome.err.startswith("everwire: ")
    assert outcome.err.count("\n") == 1


async def test_a_certificate_for_another_name_is_refused(command: Command, serve: Serve, tmp_path: Path) -> None:
    other = authority().issue("other.example")
    (tmp_path / "ca.pem").write_bytes(authority().pem)

    async def handler(connection: everwire.ServerConnection) -> None: ...

    url = await serve(handler, ssl=everwire.TLS(other.certificate, other.key))
    outcome = await command.run("connect", url, "--cacert", f"{tmp_path}/ca.pem")
    assert outcome.code == 3
    assert "certificate is for another name" in outcome.err


async def test_a_certificate_of_ones_own_is_shown(command: Command, serve: Serve, tmp_path: Path) -> None:
    certificate, key = authority("clients").issue("someone").write(tmp_path, "client")
    (tmp_path / "ca.pem").write_bytes(authority().pem)

    async def handler(connection: everwire.ServerConnection) -> None:
        await connection.send("let in")

    tls = everwire.TLS(identity().certificate, identity().key, client_ca=authority("clients").pem)
    url = await serve(handler, ssl=tls)
    trust = ("--cacert", f"{tmp_path}/ca.pem")
    outcome = await command.run("connect", url, *trust, "--cert", str(certificate), "--key", str(key))
    assert (outcome.code, outcome.lines) == (0, ["let in"])
    without = await command.run("connect", url, *trust)
    assert without.code in (1, 3)  # TLS 1.3 lets the client finish before the server judges
    assert without.err


async def test_tls_where_none_is_spoken_is_3_and_the_other_scheme_is_named(command: Command, echo: str) -> None:
    outcome = await command.run("connect", echo.replace("ws://", "wss://"))
    assert outcome.code == 3
    assert outcome.err.endswith(f": no TLS is spoken there; without, it is {echo}\n")


async def test_plain_text_where_tls_is_spoken_names_the_other_scheme(command: Command, secure: str) -> None:
    outcome = await command.run("connect", secure.replace("wss://", "ws://"))
    assert outcome.code == 4
    assert outcome.err.endswith(f"; if it speaks TLS, it is {secure}\n")


@pytest.mark.parametrize("option", ["--insecure", "--cacert", "--cert"])
async def test_options_of_tls_without_tls_are_refused(command: Command, echo: str, option: str, tmp_path: Path) -> None:
    (tmp_path / "x.pem").write_bytes(authority().pem)
    values = [] if option == "--insecure" else [f"{tmp_path}/x.pem"]
    outcome = await command.run("connect", echo, option, *values)
    assert outcome.code == 2
    assert f"{option} is about TLS, and {echo} goes without: use wss://" in outcome.err


async def test_verbose_says_how_it_is_encrypted(command: Command, secure: str) -> None:
    outcome = await command.run("connect", secure, "--insecure", "-v")
    assert "* TLSv1.3, TLS_" in outcome.err
