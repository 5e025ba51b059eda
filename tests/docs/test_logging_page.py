"""docs/howto/logging.md names every line that the package logs, with its level."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
LEVELS = {"debug": "DEBUG", "info": "INFO", "warning": "WARNING", "error": "ERROR", "exception": "ERROR"}


def logged() -> Iterator[tuple[str, str]]:
    """Level and text of each call of a logger; what is filled in is ``…``."""
    for path in (ROOT / "python" / "everwire").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(
                    func=ast.Attribute(
                        value=ast.Name(id="logger" | "_logger") | ast.Attribute(attr="logger" | "_logger"), attr=level
                    ),
                    args=[ast.Constant(value=str(text)), *_],
                ) if level in LEVELS:
                    yield LEVELS[level], filled_in(text)
    for path in (ROOT / "crates" / "everwire-python" / "src").glob("*.rs"):
        calls = r'let text = "([^"]+)";\s+logger.call_method1\(intern!\(py, "(\w+)"\)'
        for text, level in re.findall(calls, path.read_text(encoding="utf-8")):
            yield LEVELS[level], filled_in(text)


def filled_in(text: str) -> str:
    return re.sub(r"%[.\d]*[sdrf]", "…", text)


def test_every_line_that_is_logged_is_on_the_page() -> None:
    page = (ROOT / "docs" / "howto" / "logging.md").read_text(encoding="utf-8")
    written = re.findall(r"^\| ([A-Z]+) \| `(.+?)` \|", page, flags=re.MULTILINE)
    assert set(written) == set(logged())
