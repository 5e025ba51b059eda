"""The connection that the options ask for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from ..client import ClientConnection, Proxy, connect, parse_proxy, proxy_for
from ..errors import UsageError
from ..http import hidden_url
from ..limits import Limits
from ..tls import TLS
from .endpoint import Endpoint

__all__ = ["Opening"]

DIRECT = "none"
"""In place of a proxy: go without."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Opening:
    """What to connect to, and how; ``repr`` shows nothing that may be secret.

    Attributes:
        endpoint: where.
        headers: further fields of the request.
        token: for ``Authorization: Bearer``.
        origin: the ``Origin`` field.
        subprotocols: to offer, the favorite first.
        timeout: seconds for everything up to the end of the handshake.
        ping_interval: seconds between heartbeats, 0 for none.
        is_compressed: whether to offer compression.
        max_size: bytes of the largest message to accept.
        insecure: trust anybody.
        cacert: PEM file of whom to trust instead of the system's roots.
        cert: PEM file of our own certificate.
        key: PEM file of its key, if that is another one.
        proxy: the URL of a proxy, or ``"none"``; by default that of the environment, if it has one.
    """

    endpoint: Endpoint
    headers: tuple[tuple[str, str], ...] = dataclasses.field(default=(), repr=False)
    token: str | None = dataclasses.field(default=None, repr=False)
    origin: str | None = None
    subprotocols: tuple[str, ...] = dataclasses.field(default=(), repr=False)
    timeout: float = 10.0
    ping_interval: float = 30.0
    is_compressed: bool = True
    max_size: int = Limits.message
    insecure: bool = False
    cacert: str | None = None
    cert: str | None = None
    key: str | None = None
    proxy: str | None = dataclasses.field(default=None, repr=False)

    @property
    def way(self) -> Proxy | None:
        """The proxy that it goes through, if any.

        Raises:
            UsageError: its URL is none.
        """
        url = self.endpoint.url
        proxy = self.proxy or proxy_for(url.host, url.port, url.secure)
        return None if proxy is None or proxy == DIRECT else parse_proxy(proxy)

    def connect(self, create_connection: Callable[..., ClientConnection]) -> connect:
        """Open it.

        Args:
            create_connection: as for :func:`everwire.connect`.

        Raises:
            UsageError: options do not fit together.
        """
        fields = list(self.headers)
        if self.token is not None:
            fields.append(("Authorization", f"Bearer {self.token}"))
        # A User-Agent among the headers replaces ours.
        return connect(
            self.endpoint.uri,
            additional_headers=fields,
            origin=self.origin,
            subprotocols=self.subprotocols,
            open_timeout=self.timeout,
            ping_interval=self.ping_interval or None,
            compression="deflate" if self.is_compressed else None,
            max_size=self.max_size,
            proxy=None if self.proxy == DIRECT else self.proxy or True,
            create_connection=create_connection,
            **self._tls(),
        )

    def _tls(self) -> dict[str, Any]:
        named = {
            f"--{name}": getattr(self, name) for name in ("insecure", "cacert", "cert", "key") if getattr(self, name)
        }
        if not named:
            return {}
        if not self.endpoint.url.secure:
            where = hidden_url(self.endpoint.uri)
            raise UsageError(f"{next(iter(named))} is about TLS, and {where} goes without: use wss://")
        if self.insecure and self.cacert:
            raise UsageError("--insecure trusts anybody, --cacert only some: use one of them")
        if self.key and not self.cert:
            raise UsageError("--key belongs to a certificate: add --cert")
        return {"ssl": TLS(self.cert, self.key, trust=self.cacert, verify=not self.insecure)}
