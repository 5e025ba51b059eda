"""The command line: its modules import downward, nothing else needs it, and its libraries stay its own."""

from __future__ import annotations

import ast
import importlib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "python" / "everwire"
CLI = PACKAGE / "cli"

FLOORS = (
    {"endpoint", "escaping", "exit", "history", "secret", "sink", "source", "terminal"},
    {"ending", "head", "highlight", "input", "notice", "opening", "record"},
    {"display", "failure", "slash"},
    {"output", "prompt"},
    {"conversation", "pipe"},
    {"session"},
    {"connect"},
    {"command"},
    {"__init__"},
)
"""From the ground up; a module imports only from floors below its own."""

LIBRARIES = {"click": "click", "prompt_toolkit": "prompt-toolkit", "pygments": "pygments"}
"""What the extra ``cli`` brings: names to import, and names of packages."""


def modules() -> list[str]:
    return sorted(path.stem for path in CLI.glob("*.py"))


def floor(module: str) -> int:
    return next(level for level, names in enumerate(FLOORS) if module in names)


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Each import of a file: how many packages up (0 if absolute), and what."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            names = [node.module] if node.module else [alias.name for alias in node.names]
            yield from ((node.level, name) for name in names)
        elif isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)


def test_every_module_has_a_floor_and_every_floor_exists() -> None:
    assert sorted(name for names in FLOORS for name in names) == modules()


@pytest.mark.parametrize("module", modules())
def test_a_module_imports_only_from_floors_below(module: str) -> None:
    upward = {name for level, name in imports(CLI / f"{module}.py") if level == 1 and floor(name) >= floor(module)}
    assert not upward


def test_nothing_but_the_command_needs_the_command_line_or_its_libraries() -> None:
    others = [path for path in PACKAGE.rglob("*.py") if CLI not in path.parents and path.name != "__main__.py"]
    found = {
        f"{path.relative_to(PACKAGE)}: {name}"
        for path in others
        for level, name in imports(path)
        if name.partition(".")[0] in LIBRARIES or (level and name.partition(".")[0] == "cli")
    }
    assert not found


def test_the_extra_has_what_is_imported_and_the_bare_package_has_no_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = {re.split(r"[<>=]", requirement)[0] for requirement in project["optional-dependencies"]["cli"]}
    imported = {name.partition(".")[0] for path in CLI.glob("*.py") for level, name in imports(path) if level == 0}
    assert named == {package for name, package in LIBRARIES.items() if name in imported}
    assert "dependencies" not in project


def test_the_script_is_there() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    module, _, name = scripts["everwire"].partition(":")
    assert callable(getattr(importlib.import_module(module), name))
