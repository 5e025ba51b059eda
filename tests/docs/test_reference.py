"""The reference pages: every argument and name of the package is there, with the default that it has."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import socket
from pathlib import Path
from typing import Any

import pytest

import everwire
from everwire import Limits
from everwire.close import CODES
from everwire.engine import settings

PAGES = Path(__file__).parents[2] / "docs" / "reference"
ELSEWHERE = {"uri", "handler", "options"}
"""Arguments that the text above the tables is about."""
BY_NAME = {"AF_UNSPEC": socket.AF_UNSPEC, '"Python/3.x everwire/0.1.0"': everwire.client.USER_AGENT}
BY_NAME |= {"process_exception": everwire.reconnect.process_exception, "backoff": everwire.reconnect.backoff}


def table(page: str) -> dict[str, str]:
    """The arguments of a page, and their defaults as written there."""
    text = (PAGES / page).read_text(encoding="utf-8")
    return dict(re.findall(r"^\| `(\w+)` \| `([^|]+)` \|", text, flags=re.MULTILINE))


def parameters(function: Any) -> dict[str, Any]:
    given = inspect.signature(function).parameters.values()
    return {parameter.name: parameter.default for parameter in given if parameter.name not in ELSEWHERE}


def options(*names: str) -> dict[str, Any]:
    """What ``serve`` and ``connect`` take beside their parameters."""
    sizes = {short: getattr(Limits(), limit) for short, limit in settings._SIZES.items()}
    return {"compression": "deflate", **settings._DEADLINES, **sizes, **dict.fromkeys(names)}


def value(text: str) -> Any:
    return BY_NAME[text] if text in BY_NAME else ast.literal_eval(text)


@pytest.mark.parametrize(
    ("page", "function", "more"),
    [
        ("serve.md", everwire.serve, options(*settings._SERVER_ONLY)),
        ("connect.md", everwire.connect, options()),
        ("reconnecting.md", everwire.ReconnectingWebSocket, {}),
        ("tls.md", everwire.TLS, {}),
        ("compression.md", everwire.Deflate, {}),
    ],
)
def test_every_argument_is_listed_with_its_default(page: str, function: Any, more: dict[str, Any]) -> None:
    written, true = table(page), parameters(function) | more
    assert written.keys() == true.keys()
    # The defaults of these are the engine's.
    engine = {"hsts", "overflow", "allowed_hosts", "trusted_proxies", "forwarded", "proxy_protocol"} & more.keys()
    wrong = {name for name in true.keys() - engine if value(written[name]) != true[name]}
    assert not wrong


@pytest.mark.parametrize(
    ("page", "thing"),
    [
        ("connection.md", everwire.Connection),
        ("connection.md", everwire.ServerConnection),
        ("connection.md", everwire.ClientConnection),
        ("reconnecting.md", everwire.ReconnectingWebSocket),
        ("reconnecting.md", everwire.LinkStatus),
        ("serve.md", everwire.Server),
        ("handshake.md", everwire.Request),
        ("handshake.md", everwire.Response),
        ("handshake.md", everwire.Headers),
        ("errors.md", everwire.ConnectionClosed),
        ("errors.md", everwire.HandshakeFailed),
        ("tls.md", everwire.TLS),
    ],
)
def test_every_public_name_of_a_class_is_on_its_page(page: str, thing: type) -> None:
    text = (PAGES / page).read_text(encoding="utf-8")
    own = {name for kind in thing.__mro__ if kind.__module__.startswith("everwire") for name in vars(kind)}
    own |= {field.name for field in dataclasses.fields(thing)} if dataclasses.is_dataclass(thing) else set()
    own -= {"parse"}  # the engine's way to make a request
    assert not {name for name in own if not name.startswith("_") and not re.search(rf"`[^`]*\b{name}\b", text)}


def test_everything_public_is_on_some_page() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES.glob("*.md"))
    names = set(everwire.__all__) - {"__version__"}
    assert not {name for name in names if not re.search(rf"`[^`\n]*\b{name}\b", text)}


def test_every_close_code_with_a_name_is_on_its_page() -> None:
    text = (PAGES / "close-codes.md").read_text(encoding="utf-8")
    assert set(map(int, re.findall(r"^\| (\d{4}) \|", text, flags=re.MULTILINE))) == set(CODES)


def test_every_page_is_on_the_front_page() -> None:
    docs = PAGES.parent
    front = (docs / "README.md").read_text(encoding="utf-8")
    pages = {page.relative_to(docs).as_posix() for page in docs.rglob("*.md")} - {"README.md"}
    assert not {page for page in pages if f"({page})" not in front}
