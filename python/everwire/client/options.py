"""Arguments of :func:`~everwire.connect` by name and type, for those who take them along; they are described there."""

from __future__ import annotations

import ssl as ssl_module
from typing import TypedDict

from ..engine import ConnectionOptions
from ..limits import Limits
from ..tls import TLS

__all__ = ["DialerOptions", "HandshakeOptions"]


class HandshakeOptions(ConnectionOptions, total=False):
    """What is said to any server, on whatever way."""

    origin: str | None
    user_agent_header: str | None
    ssl: TLS | ssl_module.SSLContext | bool | None
    server_hostname: str | None
    max_redirects: int
    limits: Limits | None


class DialerOptions(TypedDict, total=False):
    """The way there."""

    host: str | None
    port: int | None
    path: str | None
    local_addr: tuple[str | None, int] | None
    family: int
    happy_eyeballs_delay: float | None
    proxy: str | bool | None
    proxy_ssl: ssl_module.SSLContext | bool | None
    proxy_server_hostname: str | None
