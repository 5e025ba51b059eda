"""The tree: sizes of files, words that must not be in it, and links that lead somewhere."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

LIMIT, LONG_LIMIT, TEST_LIMIT = 400, 600, 800
LONG: dict[str, str] = {
    "crates/everwire-python/src/connection.rs": "one class: PyO3 takes the methods of a class in one block",
}
"""Files of more than 400 lines, each with the reason why it is one file all the same. None has more than 600."""

FORBIDDEN = {
    "a path of somebody's machine": r"/(?:home|root|Users)/\w|/wor[k]/|/tm[p]/\w|\.\./shared",
    "an address of a package registry": r'"resolve[d]":|index-ur[l]|extra-inde[x]|registry\.npm[j]s|pypi\.or[g]/simple',
    "something left undone": r"\b(?:TOD[O]|FIXM[E]|XX[X]|HAC[K])\b|\b(?:unimplemented|todo)!\(|NotImplementedErro[r]",
    "the plan instead of the thing": r"\b[Ii]ssue \d|\bissues/\d",
}
TEXT = {".cjs", ".html", ".js", ".json", ".lock", ".md", ".py", ".pyi", ".rs", ".sh", ".toml", ".txt", ".yml", ""}


def files(*suffixes: str) -> list[str]:
    """Every file that is, or would be, in the repository."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    wanted = [name for name in listed if name and (not suffixes or Path(name).suffix in suffixes)]
    return sorted(name for name in wanted if (ROOT / name).is_file())


def length(name: str) -> int:
    return len((ROOT / name).read_text().splitlines())


def is_test(name: str) -> bool:
    return "tests" in Path(name).parts


def test_no_file_is_too_long() -> None:
    sources = files(".py", ".rs", ".cjs", ".js", ".sh")
    limit = {name: TEST_LIMIT if is_test(name) else LONG_LIMIT if name in LONG else LIMIT for name in sources}
    too_long = {name: lines for name in sources if (lines := length(name)) > limit[name]}
    assert not too_long, "split it, or say in LONG why it is one file"


def test_every_explanation_of_a_long_file_is_still_needed() -> None:
    assert not [name for name in LONG if not (ROOT / name).exists() or length(name) <= LIMIT]


def test_the_readme_is_read_in_one_go() -> None:
    assert length("README.md") <= 150


def test_the_makefile_has_at_most_twelve_verbs_and_no_logic() -> None:
    lines = (ROOT / "Makefile").read_text().splitlines()
    verbs = [line for line in lines if re.match(r"[a-z]+:", line)]
    assert len(verbs) <= 12
    assert all(re.fullmatch(r"\t@tools/python [\w/]+\.py", line) for line in lines if line.startswith("\t"))


@pytest.mark.parametrize("what", FORBIDDEN)
def test_the_repository_does_not_hold(what: str) -> None:
    pattern = re.compile(FORBIDDEN[what])
    found = [
        f"{name}:{number}: {line.strip()[:120]}"
        for name in files(*TEXT)
        for number, line in enumerate((ROOT / name).read_text(errors="replace").splitlines(), 1)
        if pattern.search(line)
    ]
    assert not found


def links() -> Iterator[tuple[str, str]]:
    for name in files(".md"):
        text = re.sub(r"^(```|~~~).*?^\1", "", (ROOT / name).read_text(), flags=re.DOTALL | re.MULTILINE)
        for target in re.findall(r"\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)", re.sub(r"`[^`\n]*`", "", text)):
            if not re.match(r"[a-z]+:", target):
                yield name, target


def anchors(page: Path) -> set[str]:
    """The names that headings have, as forges make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), flags=re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.strip().replace(" ", "-") for heading in plain}


def test_every_relative_link_leads_somewhere() -> None:
    broken = []
    for name, target in links():
        path, _, anchor = target.partition("#")
        page = (ROOT / name).parent / path if path else ROOT / name
        if not page.exists() or (anchor and page.suffix == ".md" and anchor not in anchors(page)):
            broken.append(f"{name}: {target}")
    assert not broken
