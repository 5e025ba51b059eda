"""The page of limits, docs/reference/limits.md, written from the engine's own table.

``tools/python tools/limits.py`` writes it; with ``--check`` it only says whether it is as it should be.
"""

from __future__ import annotations

import argparse

from step import ROOT, StepFailed, main

PAGE = ROOT / "docs" / "reference" / "limits.md"
HEAD = """\
# Limits

What one server, or one connection of a client, allows: the attributes of `everwire.Limits`, given as
`serve(..., limits=Limits(message=4 * 2**20))`. Every limit is on by default. The engine holds this table; `make docs`
writes this page from it.

| limit | default | unit | what it is for |
| --- | ---: | --- | --- |
"""


def page(*, write: bool) -> None:
    """Write the page, or compare it.

    Raises:
        StepFailed: it is not what it should be, and was not to be written.
    """
    from everwire import _core  # built by now, but not yet when the tools are loaded

    rows = [
        f"| `{name}` | {_bytes(default) if unit.startswith('bytes') else f'{default:,}'} | {unit} | {reason} |\n"
        for name, default, unit, reason in _core.limits()
    ]
    text = HEAD + "".join(rows)
    if write:
        PAGE.parent.mkdir(parents=True, exist_ok=True)
        PAGE.write_text(text)
    elif not PAGE.exists() or PAGE.read_text() != text:
        raise StepFailed(f"{PAGE.relative_to(ROOT)} is not up to date: make docs")


def _bytes(value: int) -> str:
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if value % size == 0:
            return f"{value // size} {unit}"
    return str(value)


def arguments() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the page is not up to date")
    page(write=not parser.parse_args().check)


if __name__ == "__main__":
    main(arguments)
