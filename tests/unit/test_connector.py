"""Where each attempt goes to: what is known is checked at once, what is asked for is asked for each time."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from everwire import TLS, UsageError
from everwire.reconnect import connector
from everwire.reconnect.connector import Connector


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """What ``connect`` was called with."""
    seen: list[tuple[str, dict[str, Any]]] = []

    async def connect(uri: str, **arguments: Any) -> None:
        seen.append((uri, arguments))

    monkeypatch.setattr(connector, "connect", connect)
    return seen


def made(
    uri: Any = "ws://localhost/", headers: Any = None, subprotocols: Any = None, token: Any = None, **options: Any
) -> Any:
    return Connector(uri, headers, subprotocols, token, options)


@pytest.mark.parametrize("kind", ["function", "coroutine function"])
async def test_everything_may_be_asked_anew(
    kind: str, calls: list[tuple[str, dict[str, Any]]], monkeypatch: Any
) -> None:
    numbers = itertools.count()

    def asked(make: Any) -> Any:
        async def coroutine() -> Any:
            return make(next(numbers))

        return (lambda: make(next(numbers))) if kind == "function" else coroutine

    with monkeypatch.context() as patch:
        patch.setattr(connector, "connect", lambda *arguments, **options: None)
        target = made(
            asked(lambda n: f"ws://host{n}/"),
            asked(lambda n: {"X-Number": str(n)}),
            asked(lambda n: [f"chat.{n}"]),
            asked(lambda n: f"token{n}"),
        )
    for first in (0, 4):
        await target.connect()
        uri, arguments = calls.pop()
        assert uri == f"ws://host{first}/"
        fields = list(arguments["additional_headers"].raw_items())
        assert fields == [("X-Number", str(first + 1)), ("Authorization", f"Bearer token{first + 3}")]
        assert arguments["subprotocols"] == [f"chat.{first + 2}"]
    assert target.is_dynamic


def test_what_is_given_is_not_asked_for() -> None:
    assert not made(token="secret", headers={"X": "1"}).is_dynamic


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"uri": "http://localhost/"}, "not a WebSocket URL"),
        ({"subprotocols": "chat"}, "must be a list"),
        ({"nonsense": 1}, "there is no argument 'nonsense'"),
        ({"ssl": TLS()}, "goes with a wss:// URL"),
        ({"sock": object()}, "only once"),
        ({"token": "a", "headers": {"authorization": "b"}}, "give one of them"),
    ],
)
def test_what_is_wrong_in_any_case_is_said_at_once(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        made(**arguments)


def test_a_url_that_is_asked_for_may_be_of_either_kind() -> None:
    made(lambda: "ws://localhost/")
    made(lambda: "wss://localhost/", ssl=TLS())
