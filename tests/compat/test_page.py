"""``docs/reference/compatibility.md`` says what differs from `websockets`: all of it, and nothing that does not."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import re
import tomllib
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest
import websockets.asyncio.client
import websockets.asyncio.server
import websockets.exceptions

import everwire
import everwire.compat.websockets as facade
from everwire import Limits
from everwire.compat.websockets.asyncio import arguments, client, server
from everwire.compat.websockets.extensions import permessage_deflate
from everwire.engine import settings

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "compatibility.md"
NOT_AN_ARGUMENT = "none"
MODULES = [
    "websockets",
    "websockets.asyncio.client",
    "websockets.asyncio.router",
    "websockets.asyncio.server",
    "websockets.client",
    "websockets.datastructures",
    "websockets.exceptions",
    "websockets.extensions.permessage_deflate",
    "websockets.frames",
    "websockets.http11",
    "websockets.protocol",
    "websockets.proxy",
    "websockets.typing",
    "websockets.uri",
]


def section(title: str) -> str:
    text = PAGE.read_text(encoding="utf-8")
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", text, flags=re.DOTALL | re.MULTILINE)
    assert found, f"no section {title!r}"
    return found[1]


def table(title: str) -> dict[str, list[str]]:
    """The rows of a section's table by what is in the first column."""
    rows = re.findall(r"^\| (.+) \|$", section(title), flags=re.MULTILINE)[2:]
    cells = [re.split(r" \| ?| ?\| ", row) for row in rows]
    return {first.strip("`"): rest for first, *rest in cells}


def names(text: str) -> set[str]:
    return set(re.findall(r"`(\w+)`", text))


# Names


def test_every_module_is_on_the_page_with_the_names_that_it_lacks() -> None:
    rows = table("Names")
    assert list(rows) == MODULES
    for name, (missing, *_) in rows.items():
        theirs, ours = importlib.import_module(name), importlib.import_module(f"everwire.compat.{name}")
        assert names(missing) == {public for public in theirs.__all__ if not hasattr(ours, public)}, name


def test_exceptions_that_are_never_raised_are_named_as_such() -> None:
    kinds = {name: getattr(facade.exceptions, name) for name in websockets.exceptions.__all__}
    never = {name for name, kind in kinds.items() if (kind.__doc__ or "").startswith("Never raised")}
    assert names(section("Exceptions")) >= never
    assert names(section("Exceptions").partition("Never raised")[2]) == never


# Arguments


def written(value: Any) -> str:
    """A default as the page has it."""
    if callable(value):
        return f"`{value.__name__}`"
    text = str(value) if not isinstance(value, str) else f'"{re.sub(r"[0-9]+[.][0-9.]+", "…", value)}"'
    return f"`{text}`"


def defaults(function: Any) -> dict[str, str]:
    parameters = inspect.signature(function).parameters.values()
    kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return {
        parameter.name: written(parameter.default)
        for parameter in parameters
        if parameter.kind not in kinds and parameter.default is not parameter.empty
    }


def engines_defaults() -> dict[str, str]:
    """What ``everwire.serve`` and ``connect`` take beside their parameters."""
    sizes = {short: getattr(Limits(), limit) for short, limit in settings._SIZES.items()}
    times = {name: int(value) if value == value // 1 else value for name, value in settings._DEADLINES.items() if value}
    return {name: written(value) for name, value in ({"compression": "deflate"} | times | sizes).items()}


@pytest.mark.parametrize(
    ("title", "theirs", "ours", "core"),
    [
        ("Arguments of serve", websockets.asyncio.server.serve, server.serve, everwire.serve),
        ("Arguments of connect", websockets.asyncio.client.connect, client.connect, everwire.connect),
    ],
)
def test_every_argument_that_differs_is_on_the_page(title: str, theirs: Any, ours: Any, core: Any) -> None:
    facades, cores = defaults(ours), engines_defaults() | defaults(core)
    true = {
        name: [default, facades.get(name, NOT_AN_ARGUMENT), cores.get(name, NOT_AN_ARGUMENT)]
        for name, default in defaults(theirs).items()
    }
    rows = table(title)
    assert {name: cells[:3] for name, cells in rows.items()} == {name: true[name] for name in rows}
    differ = {name for name, values in true.items() if len(set(values)) > 1}
    assert not differ - rows.keys()
    assert all(cells[3] for cells in rows.values())


def test_arguments_for_asyncio_that_change_nothing_are_on_the_page() -> None:
    taken = section("Arguments for asyncio").partition("These change nothing")[2].partition(". Any other")[0]
    assert names(taken) == arguments._INERT


def test_factories_of_compression_take_the_same_arguments() -> None:
    real = importlib.import_module("websockets.extensions.permessage_deflate")
    for name in real.__all__:
        if hasattr(permessage_deflate, name):
            theirs = inspect.signature(getattr(real, name)).parameters
            assert set(theirs) - set(inspect.signature(getattr(permessage_deflate, name)).parameters) <= {
                "require_client_max_window_bits"
            }


# Attributes


@contextlib.asynccontextmanager
async def a_pair(serve: Any, connect: Any) -> AsyncIterator[dict[str, set[str]]]:
    """Public attributes of a server and of a connection of each side."""
    found: dict[str, set[str]] = {}

    def public(thing: object) -> set[str]:
        return {name for name in dir(thing) if not name.startswith("_")}

    async def handler(connection: Any) -> None:
        found["ServerConnection"] = public(connection)
        await connection.send("ready")

    async with serve(handler, "127.0.0.1", 0) as running:
        async with connect("ws://{}:{}/".format(*running.sockets[0].getsockname())) as connection:
            await connection.recv()
            found |= {"ClientConnection": public(connection), "Server": public(running)}
            found |= {"Request": public(connection.request), "Response": public(connection.response)}
            found["Headers"] = public(connection.request.headers)
            yield found


async def test_every_attribute_that_is_not_there_is_on_the_page() -> None:
    rows = table("Attributes")
    async with a_pair(websockets.asyncio.server.serve, websockets.asyncio.client.connect) as theirs:
        async with a_pair(server.serve, client.connect) as ours:
            assert set(rows) == set(theirs)
            for kind, (missing, *_) in rows.items():
                assert names(missing) == theirs[kind] - ours[kind], kind


@pytest.mark.parametrize(
    ("module", "kind", "least"),
    [
        ("asyncio.server", "ServerConnection", 8),
        ("asyncio.client", "ClientConnection", 8),
        ("asyncio.server", "Server", 3),
        ("asyncio.router", "Router", 6),
        ("datastructures", "Headers", 1),
        ("uri", "WebSocketURI", 0),
    ],
)
def test_methods_take_what_they_take_there(module: str, kind: str, least: int) -> None:
    theirs = getattr(importlib.import_module(f"websockets.{module}"), kind)
    ours = getattr(importlib.import_module(f"everwire.compat.websockets.{module}"), kind)
    compared = 0
    for name, method in inspect.getmembers(theirs, inspect.isfunction):
        if not name.startswith("_") and hasattr(ours, name):
            compared += compare(method, getattr(ours, name), name)
    assert compared >= least


@pytest.mark.parametrize(
    "name", ["asyncio.server.broadcast", "asyncio.server.basic_auth", "asyncio.router.route", "uri.parse_uri"]
)
def test_functions_take_what_they_take_there(name: str) -> None:
    module, _, function = name.rpartition(".")
    theirs = getattr(importlib.import_module(f"websockets.{module}"), function)
    assert compare(theirs, getattr(importlib.import_module(f"everwire.compat.websockets.{module}"), function), name)


def compare(theirs: Any, ours: Any, name: str) -> int:
    """How many parameters there are, all of them here with the same default."""
    mine, count = inspect.signature(ours).parameters, 0
    for parameter in inspect.signature(theirs).parameters.values():
        if parameter.name != "self" and parameter.kind is not parameter.VAR_POSITIONAL:
            assert parameter.name in mine or parameter.kind is parameter.VAR_KEYWORD, (name, parameter.name)
            if parameter.kind is not parameter.VAR_KEYWORD:
                assert mine[parameter.name].default == parameter.default, (name, parameter.name)
            count += 1
    return count


# Behavior


def reasons() -> Iterable[str]:
    with Path(__file__).with_name("expected.toml").open("rb") as file:
        differences = tomllib.load(file)["difference"]
    return [difference["reason"] for difference in differences if not difference.get("is_about_tests")]


def test_every_difference_that_their_tests_show_is_on_the_page() -> None:
    text = " ".join(section("What their tests show").split())
    assert re.findall(r"- (.+?)(?= - |$)", text) == reasons()
