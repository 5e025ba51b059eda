"""Calls as the reference pages write them, ``name(argument, option=default)``, are as the package takes them."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import everwire

PAGES = Path(__file__).parents[2] / "docs" / "reference"
REQUIRED = inspect.Parameter.empty


def written(page: str) -> list[tuple[str, dict[str, Any]]]:
    """Name and arguments of each call in the first column of a page's tables; those with ``...`` are left out."""
    found = []
    text = (PAGES / page).read_text(encoding="utf-8")
    for cell in re.findall(r"^\| (.+?) \|", text, flags=re.MULTILINE):
        for name, arguments in re.findall(r"`(\w+)\(([^`]*)\)`", cell):
            if arguments != "...":
                taken = ast.parse(f"def f({arguments}): ...").body[0].args  # type: ignore[attr-defined]
                positional = [argument.arg for argument in taken.args]
                defaults = [REQUIRED] * (len(positional) - len(taken.defaults))
                values = defaults + [ast.literal_eval(default) for default in taken.defaults]
                options = {a.arg: ast.literal_eval(d) for a, d in zip(taken.kwonlyargs, taken.kw_defaults, strict=True)}
                found.append((name, dict(zip(positional, values, strict=True)) | options))
    return found


@pytest.mark.parametrize(
    ("page", "kinds", "least"),
    [
        ("connection.md", [everwire.ServerConnection, everwire.Connection], 9),
        ("serve.md", [everwire.Server], 4),
        ("handshake.md", [everwire.Headers], 4),
    ],
)
def test_methods_take_what_their_page_says(page: str, kinds: list[type], least: int) -> None:
    calls = written(page)
    assert len(calls) >= least
    for name, arguments in calls:
        method = next(getattr(kind, name) for kind in kinds if hasattr(kind, name))
        signature = inspect.signature(method).parameters
        true = {
            parameter.name: parameter.default
            for parameter in signature.values()
            if parameter.name != "self" and parameter.kind is not parameter.VAR_KEYWORD
        }
        assert arguments == true, name


def test_functions_take_what_their_pages_say() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES.glob("*.md"))
    for name in ("broadcast", "basic_auth"):
        found = re.search(rf"`{name}\(([^`]+)\)`", text)
        assert found, name
        taken = inspect.signature(getattr(everwire, name))
        shown = [re.sub(r"=.*", "", part).strip() for part in found[1].split(",")]
        assert [part for part in shown if part != "*"] == list(taken.parameters)
