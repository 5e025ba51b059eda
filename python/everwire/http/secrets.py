"""What no text shows: credentials in URLs, in fields, among subprotocols. Whoever puts one of those into a text asks here."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterator, Sequence

__all__ = [
    "MASK",
    "hidden_choice",
    "hidden_field",
    "hidden_subprotocols",
    "hidden_text",
    "hidden_url",
    "is_telling",
    "secrets_among",
]

MASK = "***"
"""What stands in place of a secret."""

_TELLING = re.compile(
    r"auth|cookie|credential|jwt|key|passw|pwd|secret|session|signature|ticket|token|(?:^|[^a-z])sig(?:$|[^a-z])",
    re.IGNORECASE,
)
_PUBLIC = ("sec-websocket-key",)  # proves that the answer is to this request, and nothing else
_WEB_TOKEN = re.compile(r"(?<![\w-])ey[\w-]{4,}\.[\w-]+\.[\w-]*")
# There is no rule for tokens in subprotocols, only customs: a word that announces one, or a JSON Web Token as it is.
_ANNOUNCEMENT = re.compile(
    r"(?:^|[._-])(?:access_?token|auth(?:orization)?|bearer|jwt|token)(?:[._-]|$)", re.IGNORECASE
)
_BEGIN = re.compile(r"(?:[a-z][a-z0-9+.-]*:)?[/\\]{2}", re.IGNORECASE)
_UNSOUND_BEGIN = re.compile(r"\s*(?:[a-z][a-z0-9+.-]*:)?[/\\]*", re.IGNORECASE)
_IN_TEXT = re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s'\"<>]+", re.IGNORECASE)


def is_telling(name: str) -> bool:
    """Whether a name of a field or parameter says that its value is a secret."""
    return name.lower() not in _PUBLIC and _TELLING.search(name) is not None


def hidden_url(url: str, *, is_sound: bool = True) -> str:
    """A URL, or the target of a request, without its password and the parameters that should stay secret.

    Args:
        url: absolute or not, with any scheme, in capitals or not.
        is_sound: of one that could not be read nobody knows where its password ends: all up to the last ``@`` counts as such.
    """
    begin = (_BEGIN if is_sound else _UNSOUND_BEGIN).match(url)
    start, rest = ("", url) if begin is None else (url[: begin.end()], url[begin.end() :])
    if not is_sound and "@" in rest:
        rest = f"{MASK}@{rest.rpartition('@')[2]}"
    elif start:
        rest = _without_password(rest)
    return start + _without_parameters(rest)


def hidden_field(name: str, value: str) -> str:
    """The value of a field, or a mask in place of what should stay secret in it."""
    if name.lower() == "sec-websocket-protocol":
        return ", ".join(hidden_subprotocols([one.strip() for one in value.split(",")]))
    if is_telling(name):
        scheme, space, rest = value.partition(" ")
        return f"{scheme} {MASK}" if name.lower().endswith("authorization") and space and rest else MASK
    return hidden_url(value) if name.lower() == "location" else hidden_text(value)


def hidden_text(text: str) -> str:
    """A text of somebody else, without the secrets of the URLs in it, and without JSON Web Tokens."""
    return _WEB_TOKEN.sub(MASK, _IN_TEXT.sub(lambda match: hidden_url(match[0]), text))


def hidden_subprotocols(names: Sequence[str]) -> list[str]:
    """Subprotocols as they are offered, with a mask for each that is a token, or holds one."""
    return [
        MASK if is_secret and _ANNOUNCEMENT.fullmatch(name) is None else name
        for name, is_secret in zip(names, secrets_among(names), strict=True)
    ]


def hidden_choice(chosen: str, offered: Sequence[str]) -> str:
    """The one of the offered subprotocols that a server chose: some repeat the token, which alone does not look like one."""
    hidden = dict(zip(offered, hidden_subprotocols(offered), strict=True))
    return hidden.get(chosen) or hidden_subprotocols([chosen])[0]


def secrets_among(subprotocols: Sequence[str]) -> Iterator[bool]:
    """Of each subprotocol whether it is a token, announces one, or stands behind one that does no more than that."""
    is_announced = False
    for name in subprotocols:
        yield bool(is_announced or _ANNOUNCEMENT.search(name) or _WEB_TOKEN.search(name))
        is_announced = not is_announced and _ANNOUNCEMENT.fullmatch(name) is not None


def _without_password(rest: str) -> str:
    """What follows the two slashes of a URL, with a mask for the password."""
    end = re.search(r"[/?#\\]", rest)
    authority, path = (rest, "") if end is None else (rest[: end.start()], rest[end.start() :])
    credentials, at, place = authority.rpartition("@")
    if at:
        user, colon, password = credentials.partition(":")
        # Some services take a token as the user, and no password.
        return f"{f'{user}:{MASK}' if colon and password else MASK}@{place}{path}"
    _, colon, port = authority.rpartition(":")
    if colon and "@" in path and not port.isdigit() and not authority.endswith("]"):
        # A password with a slash in it that should have been escaped.
        return f"{MASK}@{path.rpartition('@')[2]}"
    return rest


def _without_parameters(rest: str) -> str:
    parts = re.split(r"([?&#])", rest)
    return _WEB_TOKEN.sub(MASK, "".join([parts[0], *map(_hidden_parameter, parts[1:])]))


def _hidden_parameter(parameter: str) -> str:
    name, equals, _ = parameter.partition("=")
    return f"{name}={MASK}" if equals and is_telling(urllib.parse.unquote(name)) else parameter
