"""The Python package: imports point down only, what is public is documented, and defaults live once."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import everwire
from everwire import _core

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "python" / "everwire"

FLOORS = (
    {"_core", "asyncio_tls", "close", "compression", "limits", "racing"},
    {"errors", "relay", "shards", "tls"},
    {"backlog", "backoff", "headers", "listening", "origins", "parts", "reconnect", "settings", "status", "url"},
    {"handshake", "proxy", "target"},
    {"authentication", "connection", "hooks", "tunnel"},
    {"broadcasting", "outside", "route"},
    {"dialer", "server"},
    {"destination", "serving"},
    {"supervisor"},
    {"reconnecting"},
    {"__init__"},
    {"cli"},
    {"__main__"},
)
"""From the ground up; a module imports only from floors below its own."""


def modules() -> list[str]:
    return sorted(path.stem for path in PACKAGE.glob("*.py"))


def floor(module: str) -> int:
    return next(level for level, names in enumerate(FLOORS) if module in names)


def imported(module: str) -> Iterator[str]:
    """The modules of the package that one imports when it runs; what only type checkers see does not count."""
    tree = ast.parse((PACKAGE / f"{module}.py").read_text())
    for_types = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if node in for_types:
            continue
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            yield from [node.module.partition(".")[0]] if node.module else [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom | ast.Import):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            assert not any(name.split(".")[0] == "everwire" for name in names), f"{module}: import relatively"


def test_every_module_has_a_floor_and_every_floor_exists() -> None:
    assert sorted(name for names in FLOORS for name in names) == sorted([*modules(), "_core", "cli"])


@pytest.mark.parametrize("module", modules())
def test_a_module_imports_only_from_floors_below(module: str) -> None:
    upward = {name for name in imported(module) if floor(name) >= floor(module)}
    assert not upward, f"{module} imports {upward}, which are not below it"


def public() -> Iterator[tuple[str, Any]]:
    """Everything that users see: names, and the methods and properties of classes."""
    for name in everwire.__all__:
        thing = getattr(everwire, name)
        yield name, thing
        for attribute, value in vars(thing).items() if inspect.isclass(thing) else ():
            if not attribute.startswith("_") and (callable(value) or isinstance(value, property | staticmethod)):
                yield f"{name}.{attribute}", value


def test_everything_public_has_a_docstring() -> None:
    without = [name for name, thing in public() if not isinstance(thing, str) and not inspect.getdoc(thing)]
    assert not without


def test_everything_public_of_the_engine_has_a_docstring_in_the_stub() -> None:
    stub = ast.parse((PACKAGE / "_core.pyi").read_text())
    documented: dict[str, str | None] = {}
    for node in ast.walk(stub):
        for inner in [*node.body, node] if isinstance(node, ast.ClassDef) else ():
            if isinstance(inner, ast.FunctionDef | ast.ClassDef):
                name = f"{node.name}.{inner.name}"
                # Setters, and overloads after the first, say nothing of their own.
                documented[name] = documented.get(name) or ast.get_docstring(inner)
    assert [name for name, text in documented.items() if not text and not name.endswith("__new__")] == []


def test_all_is_complete_and_sorted() -> None:
    init = ast.parse((PACKAGE / "__init__.py").read_text())
    names = {alias.name for node in ast.walk(init) if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert set(everwire.__all__) == names
    # Constants, classes, functions: what ruff calls isort's order.
    assert list(everwire.__all__) == sorted(everwire.__all__, key=lambda name: (not name.isupper(), name))


def test_the_defaults_of_limits_are_the_engines() -> None:
    assert dataclasses.asdict(everwire.Limits()) == {name: default for name, default, _, _ in _core.limits()}


def test_the_attributes_of_limits_are_all_described() -> None:
    text = inspect.getdoc(everwire.Limits) or ""
    assert [name for name, *_ in _core.limits() if f"\n    {name}: " not in text] == []


def test_the_page_of_limits_is_the_engines_table() -> None:
    page = subprocess.run(
        [sys.executable, "tools/limits.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert page.returncode == 0, page.stderr


def test_there_are_at_most_ten_exception_classes() -> None:
    exceptions = {thing for _, thing in public() if inspect.isclass(thing) and issubclass(thing, BaseException)}
    assert len(exceptions) <= 10
    assert all(issubclass(exception, everwire.EverwireError) for exception in exceptions)
