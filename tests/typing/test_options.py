"""Keyword arguments by name and type: no public callable takes just any, and what is told twice is told alike."""

from __future__ import annotations

import functools
import importlib
import inspect
import types
from collections.abc import Callable, Iterator
from typing import Any, get_type_hints

import pytest

import everwire
from everwire.browser.link import LinkOptions
from everwire.client import DialerOptions
from everwire.compat.websockets.asyncio import arguments
from everwire.engine import ConnectionOptions, ServerOptions

MODULES = (
    "everwire",
    "everwire.browser",
    "everwire.reconnect",
    "everwire.compat.websockets",
    "everwire.compat.websockets.asyncio.client",
    "everwire.compat.websockets.asyncio.router",
    "everwire.compat.websockets.asyncio.server",
)


def callables() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every public function, and of every public class what makes one, and its methods."""
    for module in map(importlib.import_module, MODULES):
        for name in module.__all__:
            thing = getattr(module, name)
            if inspect.isclass(thing) and thing.__module__.startswith("everwire"):
                for attribute, method in inspect.getmembers(thing, inspect.isfunction):
                    if attribute == "__init__" or not attribute.startswith("_"):
                        yield f"{module.__name__}.{name}.{attribute}", method
            elif isinstance(thing, types.FunctionType):
                yield f"{module.__name__}.{name}", thing


def test_no_public_callable_takes_arguments_of_any_name_or_type() -> None:
    found = dict(callables())
    assert {"everwire.serve.__init__", "everwire.browser.WebSocket.__init__"} <= found.keys()
    ours = {name: function for name, function in found.items() if function.__module__.startswith("everwire")}
    anything = {
        f"{name}(**{parameter.name}: {parameter.annotation})"
        for name, function in ours.items()
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind is parameter.VAR_KEYWORD
        # Names of header fields are the program's own.
        and not str(parameter.annotation).startswith("Unpack[")
        and "Headers" not in name
    }
    assert not anything


def test_every_argument_of_a_public_callable_has_a_type() -> None:
    untyped = {
        f"{name}: {parameter.name}"
        for name, function in callables()
        if function.__module__.startswith("everwire")
        for parameter in list(inspect.signature(function).parameters.values())
        if parameter.name != "self" and parameter.annotation is parameter.empty
    }
    assert not untyped


@functools.cache
def taken(function: Callable[..., Any], *options: type) -> dict[str, Any]:
    """Arguments and their types: those that a function names itself, and those of its options."""
    hints = get_type_hints(function.__init__ if inspect.isclass(function) else function)
    hints = {name: kind for name, kind in hints.items() if name not in ("return", "options")}
    return functools.reduce(dict.__or__, map(get_type_hints, options), hints)


def module(name: str) -> Any:
    return importlib.import_module(f"everwire.{name}")


SERVE = taken(everwire.serve, ServerOptions)
CONNECT = taken(everwire.connect, ConnectionOptions)
COMPAT_SERVER, COMPAT_CLIENT = (module(f"compat.websockets.asyncio.{name}") for name in ("server", "client"))
ADDRESS = {"host", "port", "path"}


@pytest.mark.parametrize(
    ("options", "whole", "missing"),
    [
        (
            module("server.serve").UnixServeOptions,
            SERVE,
            {"handler", *ADDRESS, "family", "reuse_port", "allow_plaintext"},
        ),
        (module("client.connect").UnixConnectOptions, CONNECT, {"uri", *get_type_hints(DialerOptions)}),
        (
            module("reconnect.websocket").ReconnectOptions,
            CONNECT,
            # It names these itself; a socket can be connected only once.
            {
                *("uri", "additional_headers", "subprotocols", "open_timeout"),
                *("process_exception", "reconnect_delays", "logger", "sock"),
            },
        ),
        # It says these itself, or connects only once.
        (LinkOptions, CONNECT, {"uri", "subprotocols", "create_connection", "process_exception", "reconnect_delays"}),
        (
            COMPAT_SERVER.UnixServeOptions,
            taken(COMPAT_SERVER.serve, COMPAT_SERVER.ListenOptions),
            {"handler", *ADDRESS, "unix", "allow_plaintext"},
        ),
        (
            COMPAT_CLIENT.UnixConnectOptions,
            taken(COMPAT_CLIENT.connect, COMPAT_CLIENT.DialOptions),
            {"uri", "path", "unix"},
        ),
    ],
    ids=lambda value: value.__qualname__ if inspect.isclass(value) else "",
)
def test_options_are_the_arguments_with_their_types(options: type, whole: dict[str, Any], missing: set[str]) -> None:
    hints = get_type_hints(options)
    assert {name: kind for name, kind in hints.items() if whole.get(name) != kind} == {}
    assert whole.keys() - hints.keys() == missing


@pytest.mark.parametrize(
    ("options", "whole", "facade"),
    [
        (COMPAT_SERVER.ListenOptions, SERVE, taken(COMPAT_SERVER.serve)),
        (COMPAT_CLIENT.DialOptions, CONNECT, taken(COMPAT_CLIENT.connect)),
    ],
    ids=["serve", "connect"],
)
def test_under_the_names_of_websockets_our_further_arguments_are_there(
    options: type, whole: dict[str, Any], facade: dict[str, Any]
) -> None:
    hints = get_type_hints(options)
    assert hints.keys() - whole.keys() <= arguments._INERT
    assert {name: kind for name, kind in hints.items() if name in whole and whole[name] != kind} == {}
    assert whole.keys() <= hints.keys() | facade.keys()


def test_arguments_that_change_nothing_are_those_of_asyncio() -> None:
    listed = get_type_hints(COMPAT_SERVER.ListenOptions).keys() | get_type_hints(COMPAT_CLIENT.DialOptions).keys()
    assert listed - SERVE.keys() - CONNECT.keys() == arguments._INERT
