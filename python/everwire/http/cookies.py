"""Cookies of a request, read as servers have to: whatever else a browser keeps for the site, the good ones count."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["parse_cookies"]

_SPACE = " \t"
_ESCAPED = re.compile(r"\\(?:([0-3][0-7]{2})|(.))")


def parse_cookies(fields: Iterable[str]) -> dict[str, str]:
    """The cookies of all ``Cookie`` fields (RFC 6265 §4.2, §5.4); of those with one name the last.

    Fields are split at every ``;``, and each part at its first ``=``. A part without a name is no cookie, and says nothing about
    the others. A value in double quotes is given without them, and without the escapes of :mod:`http.cookies`, which writes what
    a cookie may not hold in that way. Cost: linear in what is read.
    """
    cookies = {}
    for part in (part for field in fields for part in field.split(";")):
        name, equals, value = part.partition("=")
        name = name.strip(_SPACE)
        if equals and name:
            cookies[name] = _unquoted(value.strip(_SPACE))
    return cookies


def _unquoted(value: str) -> str:
    if len(value) < 2 or value[0] != '"' or value[-1] != '"':
        return value
    return _ESCAPED.sub(lambda found: chr(int(found[1], 8)) if found[1] else found[2], value[1:-1])
