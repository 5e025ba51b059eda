"""The Python package: the folder is the floor, imports point down only, what is public is documented, defaults live once."""

from __future__ import annotations

import ast
import dataclasses
import graphlib
import inspect
import re
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

VOCABULARY = {"_core", "close", "compression", "errors", "limits", "tls"}
"""The files beside the folders: the words that every floor uses. They import nothing above."""

BELOW: dict[str, set[str]] = {
    "http": {"vocabulary"},
    "engine": {"vocabulary", "http"},
    "connection": {"vocabulary", "http", "engine"},
    "server": {"vocabulary", "http", "engine", "connection"},
    "client": {"vocabulary", "http", "engine", "connection"},
    "reconnect": {"vocabulary", "http", "engine", "connection", "client"},
    "browser": {"vocabulary", "http", "engine", "connection", "client"},
    "compat": {"vocabulary", "http", "engine", "connection", "client", "server"},
    "cli": {"vocabulary", "http", "engine", "connection", "client", "server", "reconnect"},
}
"""Each folder, and which ones its files may import from. Those that no other line names are leaves: nobody needs them."""


def files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def folder(module: tuple[str, ...]) -> str:
    """The folder of a module, given by its names from the package down: what stands beside the folders is the vocabulary."""
    return "vocabulary" if module[0] in VOCABULARY else module[0]


def imported(file: Path, *, for_types: bool = False) -> Iterator[tuple[tuple[str, ...], str]]:
    """What a file imports of the package: modules, by their names from the package down, and the name from each.

    What only type checkers see counts if it is asked for.
    """
    tree = ast.parse(file.read_text(encoding="utf-8"))
    unseen = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    package = file.relative_to(PACKAGE).parent.parts
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level and (for_types or node not in unseen):
            around = package[: len(package) - node.level + 1]
            module = (*around, *(node.module.split(".") if node.module else ()))
            for alias in node.names:
                yield (module, alias.name) if module else ((alias.name,), alias.name)
        elif isinstance(node, ast.ImportFrom | ast.Import):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            assert not any(name.split(".")[0] == "everwire" for name in names), f"{file}: import relatively"


def in_folders() -> Iterator[tuple[str, Path]]:
    """Each file that is in a folder, and that folder."""
    for file in files():
        where = file.relative_to(PACKAGE).parts
        if len(where) > 1:
            yield where[0], file


def test_every_folder_has_a_floor_and_every_floor_exists() -> None:
    assert {where for where, _ in in_folders()} == BELOW.keys()
    beside = {file.stem for file in files() if file.parent == PACKAGE}
    assert beside == (VOCABULARY - {"_core"}) | {"__init__", "__main__"}


def test_the_vocabulary_imports_nothing_above() -> None:
    for name in VOCABULARY - {"_core"}:
        assert {module for module, _ in imported(PACKAGE / f"{name}.py")} <= {(word,) for word in VOCABULARY}


@pytest.mark.parametrize("floor", BELOW)
def test_a_folder_imports_only_from_folders_below(floor: str) -> None:
    upward = {
        f"{file.relative_to(PACKAGE)} imports {'.'.join(module)}"
        for where, file in in_folders()
        for module, _ in imported(file)
        if where == floor and folder(module) not in {floor, *BELOW[floor]}
    }
    assert not upward


@pytest.mark.parametrize("floor", BELOW)
def test_a_folder_is_entered_by_its_door(floor: str) -> None:
    """What a folder has for others stands in its ``__init__``; the files behind it are its own affair."""
    inside = {
        f"{file.relative_to(PACKAGE)} imports {'.'.join(module)}"
        for where, file in in_folders()
        for module, _ in imported(file, for_types=True)
        if where == floor and folder(module) not in ("vocabulary", floor) and len(module) > 1
    }
    assert not inside


@pytest.mark.parametrize("floor", ["http", "engine", "connection", "server", "client", "reconnect"])
def test_a_door_shows_only_what_others_use(floor: str) -> None:
    shown = ast.parse((PACKAGE / floor / "__init__.py").read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(shown) if isinstance(node, ast.ImportFrom) for alias in node.names}
    used = {
        name
        for file in files()
        if file.relative_to(PACKAGE).parts[0] != floor
        for module, name in imported(file, for_types=True)
        if module == (floor,)
    }
    # Some stand behind a module that others import as a whole; some are for programs, and a page says so.
    pages = "\n".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs").rglob("*.md"))
    by_attribute = {
        name
        for file in files()
        if any(name == floor for _, name in imported(file))
        for name in re.findall(r"\bcore\.(\w+)", file.read_text(encoding="utf-8"))
    }
    assert not {name for name in names - used - by_attribute if f"everwire.{floor}.{name}" not in pages}


@pytest.mark.parametrize("floor", BELOW)
def test_the_files_of_a_folder_do_not_import_in_circles(floor: str) -> None:
    sorter: graphlib.TopologicalSorter[tuple[str, ...]] = graphlib.TopologicalSorter()
    for where, file in in_folders():
        if where == floor:
            own = file.relative_to(PACKAGE).with_suffix("").parts
            own = own[:-1] if own[-1] == "__init__" else own
            for module, name in imported(file):
                below = (*module, name) if (PACKAGE / Path(*module) / f"{name}.py").exists() else module
                if folder(below) == floor and below != own:
                    sorter.add(own, below)
    sorter.prepare()


OWN_KINDS = {"connection", "server", "client"}
"""Folders with a class of connection of their own: what the class below keeps for its kinds is theirs, too."""


def defined(file: Path) -> Iterator[str]:
    """Names of functions, methods and attributes that a file makes."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case (
                ast.Attribute(attr=name, value=ast.Name(id="self"), ctx=ast.Store())
                | ast.Name(id=name, ctx=ast.Store())
            ):
                yield name


@pytest.mark.parametrize("floor", BELOW)
def test_what_a_folder_uses_of_others_has_no_underscore(floor: str) -> None:
    own = [file for where, file in in_folders() if where == floor and file.name != "outside.py"]
    names = {name for file in own for name in defined(file)}
    if floor in OWN_KINDS:
        below = [PACKAGE / "_core.pyi", *(PACKAGE / "connection").glob("*.py")]
        names |= {name for file in below for name in defined(file)}
    private = {
        f"{file.relative_to(PACKAGE)}:{node.lineno}: {ast.unparse(node)}"
        for file in own
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and re.match(r"_[^_]", node.attr)
        and node.attr not in names
        # What a class has from the one that it stems from; and two names of the standard library.
        and not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"))
        and ast.unparse(node.value) not in ("super()", "asyncio")
        and node.attr != "_replace"
    }
    assert not private


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
