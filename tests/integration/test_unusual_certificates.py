"""Certificates that are unusual, made here, and what each way of TLS does with them: trusted by nobody, and by exact match."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID, ObjectIdentifier
from peer.certificates import Identity
from peer.timing import MS

import everwire
from everwire import TLS

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
NOW = datetime.datetime.now(datetime.UTC)


def certificate(key: Key, *extensions: tuple[x509.ExtensionType, bool], days: int = 30) -> x509.Certificate:
    """A self-signed certificate."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(NAME)
        .issuer_name(NAME)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - datetime.timedelta(60))
        .not_valid_after(NOW + datetime.timedelta(days))
    )
    for extension, is_critical in extensions:
        builder = builder.add_extension(extension, is_critical)
    return builder.sign(key, hashes.SHA256())


NAMES = (
    x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
    False,
)
UNKNOWN = x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00"), True


def identity(key: Key, made: x509.Certificate | bytes) -> Identity:
    """A certificate, as an object or in DER, and its key."""
    der = made if isinstance(made, bytes) else made.public_bytes(serialization.Encoding.DER)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Identity(ssl.DER_cert_to_PEM_cert(der).encode(), pem)


def version_1(days: int = 30) -> Identity:
    """One of X.509 version 1, which no builder makes any more: one of version 3 without its version, signed again."""
    key = ec.generate_private_key(ec.SECP256R1())
    whole = certificate(key, days=days).tbs_certificate_bytes
    length = 2 if whole[1] < 128 else 2 + (whole[1] & 127)
    assert whole[length : length + 5] == b"\xa0\x03\x02\x01\x02"
    body = tlv(0x30, whole[length + 5 :])
    signature = tlv(0x03, b"\0" + key.sign(body, ec.ECDSA(hashes.SHA256())))
    ecdsa_with_sha256 = bytes.fromhex("300a06082a8648ce3d040302")
    return identity(key, tlv(0x30, body + ecdsa_with_sha256 + signature))


def tlv(tag: int, value: bytes) -> bytes:
    """Tag, length and value in DER."""
    if len(value) < 128:
        return bytes([tag, len(value)]) + value
    length = len(value).to_bytes((len(value).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + value


def p256(*extensions: Any, days: int = 30) -> Identity:
    key = ec.generate_private_key(ec.SECP256R1())
    return identity(key, certificate(key, *extensions, days=days))


def other_key(key: Key) -> Identity:
    return identity(key, certificate(key, NAMES))


KINDS: dict[str, Callable[[], Identity]] = {
    "usual": lambda: p256(NAMES),
    "version 1": version_1,
    "unknown critical extension": lambda: p256(NAMES, UNKNOWN),
    "RSA 1024": lambda: other_key(rsa.generate_private_key(65537, 1024)),
    "P-521": lambda: other_key(ec.generate_private_key(ec.SECP521R1())),
}


@contextlib.asynccontextmanager
async def serving(shown: Identity, folder: Path, version: ssl.TLSVersion) -> AsyncIterator[int]:
    """A server that shows a certificate to one after another, and answers any message; gives its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.load_cert_chain(*shown.write(folder))
    context.minimum_version = context.maximum_version = version

    async def echo(connection: everwire.ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    async with everwire.serve(echo, "127.0.0.1", 0, ssl=context, allowed_hosts=["*"]) as server:
        yield server.sockets[0].getsockname()[1]


async def outcome(port: int, tls: Any) -> str:
    """``"ok"``, or what went wrong."""
    try:
        async with everwire.connect(
            f"wss://localhost:{port}/", ssl=tls, host="127.0.0.1", close_timeout=100 * MS
        ) as ws:
            await ws.send("ok")
            return str(await ws.recv())
    except everwire.HandshakeFailed as error:
        return str(error)


def trusting_anybody() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("kind", KINDS)
async def test_who_trusts_anybody_takes_what_openssl_takes_or_is_told_to_use_it(
    kind: str, version: ssl.TLSVersion, tmp_path: Path
) -> None:
    shown = KINDS[kind]()
    async with serving(shown, tmp_path, version) as port:
        assert await outcome(port, trusting_anybody()) == "ok"
        here = await outcome(port, TLS(verify=False))
        named = await outcome(port, TLS(trust=shown.certificate, check_hostname=False))
        both = await outcome(port, TLS(trust=shown.certificate))
    match kind:
        case "usual":
            assert (here, named, both) == ("ok", "ok", "ok")
        case "version 1" | "unknown critical extension":
            # Its name cannot be read, so who asks for that is told what to do.
            assert (here, named) == ("ok", "ok")
            assert "trust exactly this certificate, without checking its name (check_hostname)" in both
        case "RSA 1024":
            for told in (here, named, both):
                assert "an RSA key of 1024 bits" in told
                assert "ssl.SSLContext" in told
        case "P-521":
            for told in (here, named, both):
                assert "known here are" in told
                assert "ECDSA P-256 and P-384" in told
                assert "ssl.SSLContext" in told


@pytest.mark.parametrize("make", [lambda: version_1(days=-1), lambda: p256(NAMES, UNKNOWN, days=-1)])
async def test_the_dates_of_one_that_is_named_still_count(make: Callable[[], Identity], tmp_path: Path) -> None:
    shown = make()
    async with serving(shown, tmp_path, ssl.TLSVersion.TLSv1_3) as port:
        assert await outcome(port, TLS(verify=False)) == "ok"
        assert "not valid today" in await outcome(port, TLS(trust=shown.certificate, check_hostname=False))


@pytest.mark.parametrize("kind", ["version 1", "unknown critical extension"])
async def test_the_match_is_exact(kind: str, tmp_path: Path) -> None:
    shown, twin = KINDS[kind](), KINDS[kind]()
    async with serving(shown, tmp_path, ssl.TLSVersion.TLSv1_3) as port:
        assert "trust exactly this" in await outcome(port, TLS(trust=twin.certificate, check_hostname=False))
