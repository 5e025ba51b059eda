"""The browser's API: its modules import downward only, and stand on connections, not on sockets."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from everwire import EverwireError, browser

PACKAGE = Path(__file__).parents[2] / "python" / "everwire" / "browser"

FLOORS = (
    {"event", "message", "outcome"},
    {"closing", "subprotocol", "target", "url"},
    {"abort", "outgoing"},
    {"link", "readable", "writable"},
    {"duplex", "websocket"},
    {"stream"},
    {"__init__"},
)
"""From the ground up; a module imports only from floors below its own."""

BELOW = {"client", "connection", "errors", "http", "limits"}
"""What it stands on."""


def modules() -> list[str]:
    return sorted(path.stem for path in PACKAGE.glob("*.py"))


def floor(module: str) -> int:
    return next(level for level, names in enumerate(FLOORS) if module in names)


def imported(module: str, level: int) -> Iterator[str]:
    """The modules that one imports when it runs: of its own package (1), or of the one around it (2)."""
    tree = ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))
    for_types = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if node not in for_types and isinstance(node, ast.ImportFrom) and node.level == level:
            yield from [node.module.partition(".")[0]] if node.module else [alias.name for alias in node.names]


def test_every_module_has_a_floor_and_every_floor_exists() -> None:
    assert sorted(name for names in FLOORS for name in names) == modules()


@pytest.mark.parametrize("module", modules())
def test_a_module_imports_only_from_floors_below(module: str) -> None:
    assert not {name for name in imported(module, 1) if floor(name) >= floor(module)}
    assert set(imported(module, 2)) <= BELOW


def public() -> Iterator[tuple[str, Any]]:
    """Everything that users see: names, and the methods and properties of classes."""
    for name in browser.__all__:
        thing = getattr(browser, name)
        yield name, thing
        for attribute, value in vars(thing).items():
            if not attribute.startswith("_") and (callable(value) or isinstance(value, property | classmethod)):
                yield f"{name}.{attribute}", value


def test_everything_public_has_a_docstring() -> None:
    assert not [name for name, thing in public() if not inspect.getdoc(thing)]


def test_all_is_complete_and_sorted() -> None:
    init = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(init) if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert set(browser.__all__) == names
    assert browser.__all__ == sorted(browser.__all__)


def test_its_only_exception_is_that_of_streams() -> None:
    exceptions = [thing for _, thing in public() if inspect.isclass(thing) and issubclass(thing, BaseException)]
    assert exceptions == [browser.WebSocketError]
    assert issubclass(browser.WebSocketError, EverwireError)
