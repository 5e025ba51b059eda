"""Names and passwords for the opening handshake: HTTP basic authentication (RFC 7617)."""

from __future__ import annotations

import base64
import binascii
import hmac
import http
import inspect
import re
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any

from ..http import Request, Response

if TYPE_CHECKING:
    from .connection import ServerConnection

__all__ = ["basic_auth"]

Credentials = tuple[str, str]
"""A name and a password."""
CheckCredentials = Callable[[str, str], Awaitable[bool] | bool]

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def basic_auth(
    realm: str = "",
    credentials: Credentials | Iterable[Credentials] | None = None,
    check_credentials: CheckCredentials | None = None,
) -> Callable[[ServerConnection, Request], Awaitable[Response | None]]:
    """Make a ``process_request`` that asks for a name and a password, and answers 401 without them.

    Whoever passes has the name in ``connection.username``. Browsers cannot send credentials with a WebSocket's request unless
    the page's own URL asked for them; programs put them into the URL. They travel in the clear: use TLS.

    Args:
        realm: what is protected, for people; ASCII.
        credentials: a pair of name and password, or several. The comparison takes as long for a wrong password as for a right
            one, and for a name that nobody has.
        check_credentials: decides instead: a function or coroutine function that takes both.

    Raises:
        TypeError: ``credentials`` are no pairs of strings.
        ValueError: both or neither of the last two are given.
    """
    if (credentials is None) == (check_credentials is None):
        raise ValueError("provide either credentials or check_credentials")
    check = check_credentials or _comparison(credentials)
    challenge = 'Basic realm="{}", charset="UTF-8"'.format(realm.replace("\\", "\\\\").replace('"', '\\"'))

    async def process_request(connection: ServerConnection, request: Request) -> Response | None:
        fields = request.headers.get_all("Authorization")
        if len(fields) > 1:
            return connection.respond(
                http.HTTPStatus.BAD_REQUEST, '"Authorization" occurs more than once: send it exactly once\n'
            )
        given = _parse(fields)
        if isinstance(given, str):
            refusal = given
        else:
            is_valid = check(*given)
            if inspect.isawaitable(is_valid):
                is_valid = await is_valid
            if is_valid:
                connection.username = given[0]
                return None
            refusal = "Invalid credentials\n"
        response = connection.respond(http.HTTPStatus.UNAUTHORIZED, refusal)
        response.headers["WWW-Authenticate"] = challenge
        return response

    return process_request


def _comparison(credentials: object) -> CheckCredentials:
    given = [credentials] if _is_pair(credentials) else credentials
    if not isinstance(given, Iterable):
        raise TypeError(f"invalid credentials argument: {credentials}")
    pairs: list[Any] = list(given)
    if not all(_is_pair(pair) for pair in pairs):
        raise TypeError(f"invalid credentials argument: {credentials}")
    passwords: dict[str, str] = dict(pairs)

    def check(username: str, password: str) -> bool:
        expected = passwords.get(username)
        is_equal = hmac.compare_digest(
            (expected or "").encode(errors="surrogateescape"), password.encode(errors="surrogateescape")
        )
        return is_equal and expected is not None

    return check


def _is_pair(value: object) -> bool:
    return isinstance(value, tuple | list) and len(value) == 2 and all(isinstance(part, str) for part in value)


def _parse(fields: list[str]) -> Credentials | str:
    """Name and password, or why there are none."""
    if not fields:
        return "Missing credentials\n"
    scheme, _, token = fields[0].partition(" ")
    try:
        if scheme.lower() != "basic":
            raise ValueError
        given = base64.b64decode(token.strip(), validate=True).decode()
    except (ValueError, binascii.Error):
        return "Unsupported credentials\n"
    username, colon, password = given.partition(":")
    # Control characters are in no name and no password (RFC 7617 §2), and some databases choke on them.
    is_sound = colon and not _CONTROL.search(given)
    return (username, password) if is_sound else "Unsupported credentials\n"
