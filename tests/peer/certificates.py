"""Certificates for tests, made afresh for each run."""

from __future__ import annotations

import dataclasses
import functools
import ssl
from pathlib import Path

import trustme
from cryptography.hazmat.primitives import serialization

__all__ = ["Identity", "authority", "client_context", "server_context"]


@dataclasses.dataclass(frozen=True)
class Identity:
    """A certificate and its key, in PEM."""

    certificate: bytes
    key: bytes

    def encrypted(self, password: bytes) -> bytes:
        """The key in encrypted PKCS #8."""
        key = serialization.load_pem_private_key(self.key, None)
        return key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(password),
        )

    def write(self, folder: Path, name: str = "server") -> tuple[Path, Path]:
        """Put both into files."""
        certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
        certificate.write_bytes(self.certificate)
        key.write_bytes(self.key)
        return certificate, key


class Authority:
    """An authority that issues certificates."""

    def __init__(self) -> None:
        self._ca = trustme.CA()

    @property
    def pem(self) -> bytes:
        """Its own certificate."""
        return self._ca.cert_pem.bytes()

    def issue(self, *names: str) -> Identity:
        """A certificate for these names or addresses."""
        leaf = self._ca.issue_cert(*names)
        chain = b"".join(blob.bytes() for blob in leaf.cert_chain_pems)
        return Identity(chain, leaf.private_key_pem.bytes())


@functools.cache
def authority(name: str = "default") -> Authority:
    """The authority of that name."""
    return Authority()


@functools.cache
def identity() -> Identity:
    """The usual server's certificate."""
    return authority().issue("localhost", "127.0.0.1", "::1")


def client_context() -> ssl.SSLContext:
    """A context of ``ssl`` that trusts the default authority."""
    context = ssl.create_default_context()
    context.load_verify_locations(cadata=authority().pem.decode())
    return context


def server_context(folder: Path) -> ssl.SSLContext:
    """A context of ``ssl`` with the usual certificate; its files go to ``folder``."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*identity().write(folder))
    return context
