"""Tokens: where they come from."""

from __future__ import annotations

import os
import re
from pathlib import Path

__all__ = ["read_token"]


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
