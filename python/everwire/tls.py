"""TLS in the core: certificates from files, replaceable while connections are open."""

from __future__ import annotations

import os
from pathlib import Path

from . import _core

__all__ = ["TLS", "client_tls", "server_tls", "without_identity"]

Pem = str | os.PathLike[str] | bytes
"""A path, or the PEM text itself as bytes."""


class TLS:
    """What a server shows, or a client trusts: give it as ``ssl=`` to :func:`~everwire.serve` or :func:`~everwire.connect`.

    It is served by rustls in the core: TLS 1.2 and 1.3. An :class:`ssl.SSLContext` works too, more slowly: asyncio runs it.

    Args:
        certificate: PEM of one's own certificate, then of those that lead to a root. Servers need one.
        key: PEM of its private key; by default it is looked for in ``certificate``.
        password: decrypts the key (PKCS #8).
        client_ca: servers: PEM of the authorities whose client certificates are accepted; clients must then show one.
        client_optional: servers: with ``client_ca``, clients may also show none.
        trust: clients: PEM of what is trusted instead of the system's roots (which ``SSL_CERT_FILE`` and ``SSL_CERT_DIR``
            replace): authorities, or the very certificates that servers show.
        verify: clients: ``False`` trusts anybody: whoever sits on the path can read and change everything.
        check_hostname: clients: ``False`` takes a trusted certificate for any name.

    Raises:
        ValueError: a certificate or key cannot be used; the text says which and why.
        OSError: a file cannot be read.
    """

    def __init__(
        self,
        certificate: Pem | None = None,
        key: Pem | None = None,
        *,
        password: str | bytes | None = None,
        client_ca: Pem | None = None,
        client_optional: bool = False,
        trust: Pem | None = None,
        verify: bool = True,
        check_hostname: bool = True,
    ) -> None:
        self._certificate = certificate
        self._key = certificate if key is None else key
        self._password = password.encode() if isinstance(password, str) else password
        self._client_ca = client_ca
        self._client_optional = client_optional
        self._trust = trust
        self._verify = verify
        self._check_hostname = check_hostname
        self._server: _core.ServerTLS | None = None
        self._client: _core.ClientTLS | None = None

    def reload(self) -> None:
        """Read the files again; new connections use what they hold now, open ones stay as they are.

        Raises:
            ValueError: they do not fit together; what was there before is still used.
            OSError: a file cannot be read; likewise.
        """
        if self._server is not None:
            self._server.reload(*self._server_options())
        if self._client is not None:
            self._client = self._make_client()

    def _server_options(self) -> tuple[bytes, bytes, bytes | None, bytes | None, bool]:
        if self._certificate is None or self._key is None:
            raise ValueError("a server needs a certificate: TLS(certificate=..., key=...)")
        client_ca = None if self._client_ca is None else _read(self._client_ca)
        return _read(self._certificate), _read(self._key), self._password, client_ca, self._client_optional

    def _make_client(self) -> _core.ClientTLS:
        return _core.ClientTLS(
            trust=None if self._trust is None else _read(self._trust),
            verify=self._verify,
            certificate=None if self._certificate is None else _read(self._certificate),
            key=None if self._key is None else _read(self._key),
            password=self._password,
            check_hostname=self._check_hostname,
        )


def server_tls(tls: TLS) -> _core.ServerTLS:
    """What the engine shows to clients: made when it is first asked for.

    Raises:
        ValueError: a certificate or key is missing, or cannot be used.
        OSError: a file cannot be read.
    """
    if tls._server is None:
        tls._server = _core.ServerTLS(*tls._server_options())
    return tls._server


def without_identity(tls: TLS) -> TLS:
    """The same trust, and no certificate of one's own."""
    if tls._certificate is None:
        return tls
    return TLS(trust=tls._trust, verify=tls._verify, check_hostname=tls._check_hostname)


def client_tls(tls: TLS) -> _core.ClientTLS:
    """What the engine trusts and shows to servers, likewise.

    Raises:
        ValueError, OSError: as :func:`server_tls`.
    """
    if tls._client is None:
        tls._client = tls._make_client()
    return tls._client


def _read(pem: Pem) -> bytes:
    return pem if isinstance(pem, bytes) else Path(pem).read_bytes()
