"""From keyword arguments of ``serve`` and ``connect`` to settings of the engine."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal, TypedDict

from .. import _core
from ..compression import Deflate, engine_options
from ..errors import UsageError
from ..limits import Limits

__all__ = ["ConnectionOptions", "ServerOptions", "client_settings", "server_settings"]

_UNLIMITED = 2**62
_DEADLINES = {
    "open_timeout": 10.0,
    "ping_interval": 30.0,
    "ping_timeout": 20.0,
    "close_timeout": 10.0,
    "idle_timeout": None,
}
_SIZES = {"max_size": "message", "max_queue": "queue_messages", "write_limit": "write_high"}
_SERVER_ONLY = ("hsts", "overflow", "allowed_hosts", "trusted_proxies", "forwarded", "proxy_protocol")


class ConnectionOptions(TypedDict, total=False):
    """What ``serve`` and ``connect`` take beside what they name themselves; :func:`~everwire.serve` says what it means."""

    compression: Literal["deflate"] | Deflate | None
    ping_interval: float | None
    ping_timeout: float | None
    close_timeout: float | None
    idle_timeout: float | None
    max_size: int | None
    max_queue: int | tuple[int | None, int | None] | None
    write_limit: int | tuple[int, int | None] | None


class ServerOptions(ConnectionOptions, total=False):
    """The same of ``serve``."""

    hsts: int | None
    overflow: Literal["skip", "close"]
    allowed_hosts: Sequence[str]
    trusted_proxies: Sequence[str]
    forwarded: Literal["x-forwarded-for", "forwarded"]
    proxy_protocol: bool


def server_settings(options: dict[str, Any], **more: Any) -> _core.Settings:
    """Settings of a listener.

    Raises:
        UsageError: an argument that does not exist, or has no sense; the text says which.
    """
    return _settings(options, (*_SERVER_ONLY,), is_server=True, **more)


def client_settings(options: dict[str, Any], **more: Any) -> _core.Settings:
    """Settings of an outgoing connection.

    Raises:
        UsageError: as :func:`server_settings`.
    """
    return _settings(options, (), is_server=False, **more)


def _settings(options: dict[str, Any], others: tuple[str, ...], **more: Any) -> _core.Settings:
    known = {"limits", "compression", *_DEADLINES, *_SIZES, *others}
    for name in options:
        if name not in known:
            raise UsageError(f"there is no argument {name!r}; known: {', '.join(sorted(known))}")
    limits = dataclasses.asdict(options.get("limits") or Limits())
    queue = None
    for name, limit in _SIZES.items():
        if name not in options:
            continue
        value = options[name]
        if name == "max_queue" and isinstance(value, tuple):
            queue = tuple(_UNLIMITED if mark is None else mark for mark in value)
        elif name == "write_limit" and isinstance(value, tuple):
            limits[limit] = _size(name, value[0])
        else:
            limits[limit] = _UNLIMITED if value is None else _size(name, value)
    if options.get("max_queue", 0) is None:
        limits["queue_bytes"] = _UNLIMITED
    settings: dict[str, Any] = {name: options.get(name, default) for name, default in _DEADLINES.items()}
    settings |= {name: options[name] for name in others if name in options}
    settings["compression"] = engine_options(options.get("compression", "deflate"))
    settings["limits"] = limits
    settings["queue"] = queue
    return _core.Settings(settings | more)


def _size(name: str, value: Any) -> int:
    if not isinstance(value, int) or value <= 0:
        raise UsageError(f"{name} must be a positive number, or None; not {value!r}")
    return value
