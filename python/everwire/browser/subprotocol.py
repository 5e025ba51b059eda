"""Subprotocols that a client may ask for (RFC 6455 §4.1, WebSockets §3.1)."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import UsageError
from ..http import hidden_subprotocols

__all__ = ["checked"]

_SEPARATORS = frozenset('()<>@,;:\\"/[]?={} \t')


def checked(protocols: Iterable[str]) -> list[str]:
    """The subprotocols, in order.

    Raises:
        TypeError: one is not text.
        UsageError: one is no token of HTTP (RFC 2616 §2.2), or there twice; case makes no difference to that.
    """
    names: list[str] = []
    seen: set[str] = set()
    for name in protocols:
        if not isinstance(name, str):
            raise TypeError(f"a subprotocol is a str, not {type(name).__name__}")
        shown = hidden_subprotocols([*names, name])[-1]
        wrong = next((character for character in name if not _is_token(character)), None)
        if not name or wrong is not None:
            what = "it is empty" if not name else f"{wrong!r} must not be in it"
            raise UsageError(f"{shown!r} is no name of a subprotocol: {what}")
        if name.lower() in seen:
            raise UsageError(f"the subprotocol {shown!r} is given twice: leave one out")
        seen.add(name.lower())
        names.append(name)
    return names


def _is_token(character: str) -> bool:
    return "!" <= character <= "~" and character not in _SEPARATORS
