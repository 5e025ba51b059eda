"""Whose pages may connect. The engine compares origins; only expressions are matched here."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .. import _core

__all__ = ["Origins"]


class Origins:
    """The ``origins`` of :func:`~everwire.serve`.

    Attributes:
        patterns: the expressions among them.
        for_engine: what the engine is to compare: everything, unless there are expressions.

    Raises:
        UsageError: one of them is no origin.
    """

    def __init__(self, given: Sequence[str | re.Pattern[str] | None] | str | None) -> None:
        listed = () if given is None or isinstance(given, str) else tuple(given)
        self.patterns = [origin for origin in listed if isinstance(origin, re.Pattern)]
        self.for_engine = "*" if self.patterns else given
        self._names = {
            origin if origin is None else _core.origin(origin)
            for origin in listed
            if not isinstance(origin, re.Pattern)
        }

    def allows(self, origin: str | None) -> bool:
        """Whether a request may have this ``Origin``, which is one (RFC 6454 §4); patterns see it as a browser writes it."""
        if origin is None:
            return None in self._names
        name = _core.origin(origin)
        return name in self._names or any(pattern.fullmatch(name) for pattern in self.patterns)
