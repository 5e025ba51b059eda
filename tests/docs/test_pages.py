"""The pages: their Python runs, their JavaScript can be read, the verbs that they name exist.

A block that is fenced as ``python`` is a program, and is run by ``program.py``. One behind ``<!-- fragment -->`` is a
part of
one: it has to be Python, and what it takes from the package has to be there.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import everwire

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])
BLOCK = re.compile(r"^(?P<fragment><!-- fragment -->\n+)?```python\n(?P<code>.*?)^```$", re.DOTALL | re.MULTILINE)
TIMEOUT = 30


def blocks(*, fragments: bool) -> list[object]:
    """The code of every block, each named by its place."""
    found = []
    for page in PAGES:
        text = page.read_text()
        for block in BLOCK.finditer(text):
            if (block["fragment"] is not None) == fragments:
                line = text.count("\n", 0, block.start("code")) + 1
                found.append(pytest.param(block["code"], id=f"{page.relative_to(ROOT)}:{line}"))
    return found


@pytest.mark.parametrize("code", blocks(fragments=False))
def test_a_program_runs(code: str, tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-W", "error", Path(__file__).with_name("program.py")],
        input=code, cwd=tmp_path, capture_output=True, text=True, timeout=TIMEOUT, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("code", blocks(fragments=True))
def test_a_fragment_is_python_and_names_what_exists(code: str) -> None:
    tree = compile(code, "fragment", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    named = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "everwire":
            named |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "everwire":
            named.add(node.attr)
    assert not [name for name in named if not hasattr(everwire, name)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_verbs_of_make_exist(page: Path) -> None:
    verbs = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    code = re.findall(r"```.*?```|`[^`\n]+`", page.read_text(), flags=re.DOTALL)
    named = {verb for part in code for verb in re.findall(r"\bmake ([a-z]+)\b", part)}
    assert named <= set(verbs)


def test_there_are_pages_with_programs() -> None:
    assert blocks(fragments=False)


def test_every_block_is_of_a_kind_that_is_tested() -> None:
    fences = re.compile(r"^( *)```(\w*)\n.*?^ *```$", re.DOTALL | re.MULTILINE)
    found = {fence.groups() for page in PAGES for fence in fences.finditer(page.read_text())}
    text = ["", "text", "sh", "console"]
    # What is for a proxy is what tests/interop runs the proxy with; diagrams are made and compared by its tests.
    assert found <= {("", language) for language in ("python", "js", "nginx", "haproxy", "mermaid", *text)}


def test_javascript_can_be_read(tmp_path: Path) -> None:
    texts = [page.read_text() for page in PAGES]
    parts = [part for text in texts for part in re.findall(r"^```js\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)]
    assert parts
    for number, part in enumerate(parts):
        program = tmp_path / f"{number}.mjs"
        program.write_text(part)
        run = subprocess.run(["node", "--check", program], capture_output=True, text=True, timeout=TIMEOUT, check=False)
        assert run.returncode == 0, run.stderr
