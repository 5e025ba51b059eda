"""Tokens: where they come from, and that they are never shown."""

from __future__ import annotations

import os
import re
import urllib.parse
from pathlib import Path

__all__ = ["hidden_field", "hidden_url", "read_token"]

MASK = "***"
_TELLING = re.compile(r"auth|cookie|credential|jwt|key|passw|secret|session|signature|token", re.IGNORECASE)
_PUBLIC = ("sec-websocket-key",)  # proves that the answer is to this request, and nothing else


def read_token(given: str) -> str:
    """The token itself, or what the file holds that ``@file`` names.

    Raises:
        OSError: the file cannot be read.
        ValueError: there is no token, or it cannot stand in a field; the text does not hold it.
    """
    # As Latin-1 anything can be read; what cannot stand in a field is found below.
    token = Path(os.path.expanduser(given[1:])).read_text("latin-1").strip() if given.startswith("@") else given
    if not token:
        raise ValueError("the token is empty")
    if not re.fullmatch(r"[\x21-\x7e]+", token):
        raise ValueError("the token holds spaces or characters that cannot stand in a field")
    return token


def hidden_field(name: str, value: str) -> str:
    """The value of a field, or a mask in place of what should stay secret in it."""
    if name.lower() in _PUBLIC or not _TELLING.search(name):
        return value
    scheme, space, rest = value.partition(" ")
    return f"{scheme} {MASK}" if name.lower().endswith("authorization") and space and rest else MASK


def hidden_url(url: str) -> str:
    """A URL, or the target of a request, without its password and the parameters that should stay secret."""
    url = re.sub(r"^([a-z]+://[^/?#@:]*):[^/?#@]*@", rf"\1:{MASK}@", url)
    start, question, query = url.partition("?")
    return start + question + "&".join(map(_hidden_parameter, query.split("&")))


def _hidden_parameter(parameter: str) -> str:
    name, equals, _ = parameter.partition("=")
    return f"{name}={MASK}" if equals and _TELLING.search(urllib.parse.unquote(name)) else parameter
