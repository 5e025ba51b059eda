"""The crates: wire knows nobody, reactor knows wire, the binding knows both, and only the binding knows Python."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CRATES = ROOT / "crates"

KNOWS = {
    "everwire-wire": set(),
    "everwire-reactor": {"everwire-wire"},
    "everwire-python": {"everwire-reactor", "everwire-wire"},
}
"""Which of our crates each may depend on."""

UNSAFE = {
    "everwire-python/src/context.rs": "enters and leaves a context without a call of a method",
    "everwire-python/src/descriptor.rs": "takes over descriptors that Python hands over",
    "everwire-python/src/guarded.rs": "access under the GIL, which is held already, instead of locks",
    "everwire-python/src/receive.rs": "type slots that PyO3 has no name for",
    "everwire-python/src/stop.rs": "a new value for an exception that is raised again",
    "everwire-reactor/src/outflow.rs": "asks the kernel what became of written bytes",
    "everwire-python/src/text.rs": "a string of characters that are known to be ASCII",
}
"""The only files with unsafe code, and what for."""

SANS_IO = re.compile(
    r"std::(time|thread|fs|process|env|os)\b|\b(Instant|SystemTime|TcpStream|TcpListener|UdpSocket|UnixStream)\b"
)


def manifest(crate: str) -> dict[str, dict[str, object]]:
    return tomllib.loads((CRATES / crate / "Cargo.toml").read_text())


def code(path: Path) -> str:
    """A Rust file without its comments and strings."""
    text = re.sub(r'"(\\.|[^"\\])*"', '""', path.read_text())
    return re.sub(r"//.*", "", text)


def product(path: Path) -> str:
    """The same, without the unit tests at its foot."""
    return code(path).partition("#[cfg(test)]")[0]


def sources(crate: str) -> list[Path]:
    return sorted((CRATES / crate / "src").rglob("*.rs"))


def test_there_is_a_rule_for_every_crate() -> None:
    assert {path.parent.name for path in CRATES.glob("*/Cargo.toml")} == KNOWS.keys()


@pytest.mark.parametrize("crate", KNOWS)
def test_a_crate_depends_only_on_crates_below(crate: str) -> None:
    of_ours = {name for name in manifest(crate)["dependencies"] if name.startswith("everwire")}
    assert of_ours <= KNOWS[crate]


@pytest.mark.parametrize("crate", sorted(KNOWS.keys() - {"everwire-python"}))
def test_only_the_binding_knows_python(crate: str) -> None:
    tables = ("dependencies", "dev-dependencies", "build-dependencies")
    named = {name for table in tables for name in manifest(crate).get(table, {})}
    assert not [name for name in named if "py" in name.lower()]
    assert not [path.name for path in sources(crate) if re.search(r"\bpyo3\b|\bPy[A-Z]", code(path))]


def test_the_wire_has_no_sockets_no_threads_and_no_clock() -> None:
    found = {path.name: match[0] for path in sources("everwire-wire") if (match := SANS_IO.search(code(path)))}
    assert not found


def test_the_wire_forbids_unsafe_code() -> None:
    assert "#![forbid(unsafe_code)]" in (CRATES / "everwire-wire" / "src" / "lib.rs").read_text()


@pytest.mark.parametrize("crate", ["everwire-reactor", "everwire-python"])
def test_unsafe_code_is_denied_but_where_it_is_allowed_by_name(crate: str) -> None:
    assert "#![deny(unsafe_code)]" in (CRATES / crate / "src" / "lib.rs").read_text()


def test_the_reactor_has_no_clock() -> None:
    found = [path.name for path in sources("everwire-reactor") if re.search(r"Instant::now|SystemTime", product(path))]
    assert not found


def test_unsafe_code_is_only_where_it_is_expected() -> None:
    found = {
        str(path.relative_to(CRATES))
        for crate in KNOWS
        for path in sources(crate)
        if re.search(r"\bunsafe\b", re.sub(r"#!?\[.*?\]", "", code(path)))
    }
    assert found == UNSAFE.keys()


@pytest.mark.parametrize("name", UNSAFE)
def test_every_unsafe_block_says_why_it_is_safe(name: str) -> None:
    lines = (CRATES / name).read_text().splitlines()
    silent = []
    for number, line in enumerate(lines):
        if not re.search(r"\bunsafe\s*(\{|impl\b)", line.partition("//")[0]):
            continue
        above = number - 1
        while lines[above].lstrip().startswith("//") and "SAFETY:" not in lines[above]:
            above -= 1
        if "SAFETY:" not in lines[above]:
            silent.append(f"{name}:{number + 1}")
    assert not silent


def test_the_fuzz_targets_are_all_built() -> None:
    folder = CRATES / "everwire-wire" / "fuzz"
    built = {Path(program["path"]).stem for program in tomllib.loads((folder / "Cargo.toml").read_text())["bin"]}
    assert built == {path.stem for path in (folder / "fuzz_targets").glob("*.rs")}
