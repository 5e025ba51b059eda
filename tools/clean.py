"""``make clean``: remove everything that was built or installed into the tree."""

import shutil

from step import ROOT, TARGET, main

FOLDERS = (".build", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".venv", "dist", "tests/node_modules")


def clean() -> None:
    shutil.rmtree(TARGET, ignore_errors=True)
    for folder in FOLDERS:
        shutil.rmtree(ROOT / folder, ignore_errors=True)
    for built in (ROOT / "python" / "everwire").glob("_core*.so"):
        built.unlink()


if __name__ == "__main__":
    main(clean)
