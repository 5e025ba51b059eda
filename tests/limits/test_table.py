"""No limit and no deadline without an attack on it."""

from __future__ import annotations

import ast
import dataclasses
from pathlib import Path

import everwire
from everwire import _core
from everwire.engine.settings import _DEADLINES

HERE = Path(__file__).parent


def attacked(*files):
    """The names that classes of tests stand for: ``TestQueueBytes`` for ``queue_bytes``."""
    for file in files:
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                assert any("test_" in getattr(item, "name", "") for item in node.body), f"{node.name} tests nothing"
                yield "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in node.name)[
                    len("_test_") :
                ]


def test_every_row_of_the_table_is_attacked():
    files = [file for file in HERE.glob("test_*.py") if file.name != "test_deadlines.py"]
    assert sorted(attacked(*files)) == sorted(name for name, *_ in _core.limits())


def test_every_deadline_is_missed_by_somebody():
    assert sorted(attacked(HERE / "test_deadlines.py")) == sorted(_DEADLINES)


def test_the_dataclass_has_the_rows_of_the_table_and_their_defaults():
    assert dataclasses.asdict(everwire.Limits()) == {name: default for name, default, *_ in _core.limits()}
