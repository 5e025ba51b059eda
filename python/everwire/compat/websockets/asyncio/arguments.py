"""Arguments that `websockets` takes and Everwire takes otherwise, or needs not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ....errors import UsageError

__all__ = ["check_subprotocols", "message_limit", "without_inert"]

_INERT = frozenset(
    {
        "all_errors",
        "flags",
        "interleave",
        "keep_alive",
        "proto",
        "proxy_ssl_handshake_timeout",
        "proxy_ssl_shutdown_timeout",
        "reuse_address",
        "ssl_handshake_timeout",
        "ssl_shutdown_timeout",
    }
)
"""Arguments of ``loop.create_server()`` and ``loop.create_connection()`` that change nothing here: addresses are always reused,
and families tried in turn; the opening and closing timeouts hold for TLS too."""


def without_inert(options: Mapping[str, object]) -> dict[str, Any]:
    """The arguments that are left for Everwire."""
    return {name: value for name, value in options.items() if name not in _INERT}


def check_subprotocols(subprotocols: Sequence[str] | None) -> None:
    """Catch the usual mistake.

    Raises:
        TypeError: it is one string.
    """
    if isinstance(subprotocols, str):
        raise TypeError("subprotocols must be a list, not a str")


def message_limit(max_size: int | tuple[int | None, int | None] | None) -> int | None:
    """The one size that Everwire bounds: it joins fragments, and bounds their sum as they come.

    Raises:
        UsageError: a bound for fragments, without one for messages.
    """
    if not isinstance(max_size, tuple):
        return max_size
    message, fragment = max_size
    if message is None and fragment is not None:
        raise UsageError("max_size bounds messages, not fragments: give a bound for messages too")
    return message
