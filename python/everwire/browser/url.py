"""URLs as browsers read and write them (URL Standard §4.4, §4.5; WebSockets §3.1), as far as WebSockets have any.

A page's URL forgives much that :func:`everwire.connect` does not: capitals, backslashes, too many slashes or too few, spaces
around it, dots in its path. What is left of it here is one that everybody reads alike.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import urllib.parse

from ..errors import UsageError
from ..http import hidden_url

__all__ = ["normalized", "origin"]

_SCHEMES = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}
_PORTS = {"ws": 80, "wss": 443}
_AROUND = "".join(map(chr, range(0x21)))
# What the percent-encode sets leave alone beside letters, digits and "_.-~" (URL Standard §1.3).
_IN_PATH = "%!$&'()*+,/:;=@[\\]|"
_IN_QUERY = "%!$&()*+,/:;=?@[\\]^`{|}"
_IN_USER = "%!$&'()*+,"
_FORBIDDEN_IN_HOST = re.compile(r"[\x00-\x20#/:<>?@\[\\\]^|%\x7f]")
_DOT, _DOUBLE_DOT = (".", "%2e"), ("..", ".%2e", "%2e.", "%2e%2e")


def normalized(url: object) -> str:
    """The URL that a WebSocket is made with, as browsers write it.

    ``http`` becomes ``ws`` and ``https`` ``wss``; there is no page whose URL a relative one could complete.

    Raises:
        TypeError: it is no text.
        UsageError: it is no URL for a WebSocket; the text says why. (A ``SyntaxError`` in a browser.)
    """
    if isinstance(url, bytes | bytearray | int | float) or url is None:
        raise TypeError(f"a URL is a str, not {type(url).__name__}")
    given = str(url)
    shown = hidden_url(given, is_sound=False)
    text = re.sub(r"[\t\n\r]", "", given.strip(_AROUND))
    match = re.fullmatch(r"([A-Za-z][A-Za-z0-9+.\-]*):(.*)", text, re.DOTALL)
    if match is None:
        raise UsageError(f"{shown!r} is not an absolute URL: begin it with ws:// or wss://")
    scheme = _SCHEMES.get(match[1].lower())
    if scheme is None:
        raise UsageError(f"{shown!r} is not a URL for WebSockets: begin it with ws:// or wss://")
    rest, mark, _ = match[2].partition("#")
    if mark:
        raise UsageError(f"{shown!r} is not a URL for WebSockets: it has a fragment, so leave out what begins with '#'")
    rest, question, query = rest.partition("?")
    authority, slash, path = _split(rest.lstrip("/\\"))
    credentials, _, place = authority.rpartition("@")
    try:
        host, port = _host_and_port(place, _PORTS[scheme])
    except ValueError as error:
        raise UsageError(f"{shown!r} is not a URL: {error}") from None
    user = _credentials(credentials)
    query = question + urllib.parse.quote(query, safe=_IN_QUERY, errors="replace")
    return f"{scheme}://{user}{host}{port}{_path(slash + path)}{query}"


def origin(url: str) -> str:
    """Scheme, host and port of a normalized URL, as a message event has them."""
    return re.sub(r"^(wss?://)(?:[^/@]*@)?([^/]+)/.*$", r"\1\2", url, flags=re.DOTALL)


def _split(rest: str) -> tuple[str, str, str]:
    match = re.search(r"[/\\]", rest)
    return (rest, "", "") if match is None else (rest[: match.start()], "/", rest[match.end() :])


def _host_and_port(place: str, default: int) -> tuple[str, str]:
    match = re.fullmatch(r"(\[[^\]]*\]|[^:\[\]]*)(?::(.*))?", place, re.DOTALL)
    if match is None:
        raise ValueError(f"{place!r} is no host and port")
    host, port = _host(match[1]), match[2] or ""
    if not port:
        return host, ""
    if not re.fullmatch(r"[0-9]+", port) or int(port) > 65535:
        raise ValueError(f"{port!r} is no port")
    return host, "" if int(port) == default else f":{int(port)}"


def _host(text: str) -> str:
    if text.startswith("["):
        if "%" in text:
            raise ValueError("an address in a URL has no zone")
        return f"[{ipaddress.IPv6Address(text[1:-1]).compressed}]"
    name = urllib.parse.unquote(text, errors="strict")
    if not name:
        raise ValueError("it names no host")
    if not name.isascii():
        try:
            name = name.encode("idna").decode()
        except UnicodeError as error:
            raise ValueError(f"{text!r} is no name of a host: {error}") from None
    name = name.lower()
    wrong = _FORBIDDEN_IN_HOST.search(name)
    if wrong is not None:
        raise ValueError(f"{wrong[0]!r} must not be in the name of a host")
    last = name.rstrip(".").rpartition(".")[2]
    if last.isdigit() or re.fullmatch(r"0x[0-9a-f]*", last):
        return _ipv4(name)
    return name


def _ipv4(name: str) -> str:
    try:
        # Takes the same forms as browsers do: fewer than four numbers, octal and hexadecimal ones.
        return socket.inet_ntoa(socket.inet_aton(name.removesuffix(".")))
    except OSError:
        raise ValueError(f"{name!r} is no IPv4 address") from None


def _credentials(text: str) -> str:
    if not text:
        return ""
    user, colon, password = text.partition(":")
    user, password = (urllib.parse.quote(part, safe=_IN_USER, errors="replace") for part in (user, password))
    return f"{user}:{password}@" if colon and password else f"{user}@"


def _path(path: str) -> str:
    segments: list[str] = []
    parts = re.split(r"[/\\]", path)[1:] or [""]
    for number, part in enumerate(parts):
        is_last = number == len(parts) - 1
        if part.lower() in _DOUBLE_DOT:
            del segments[-1:]
            if is_last:
                segments.append("")
        elif part.lower() in _DOT:
            if is_last:
                segments.append("")
        else:
            segments.append(urllib.parse.quote(part, safe=_IN_PATH, errors="replace"))
    return "/" + "/".join(segments)
