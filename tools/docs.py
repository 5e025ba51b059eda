"""``make docs``: write the pages that are generated, then run the code of all pages and follow their links."""

import sys

import check
import limits
from step import main, run


def docs() -> None:
    check.prepare()
    limits.page(write=True)
    run(sys.executable, "-m", "pytest", "tests/docs")


if __name__ == "__main__":
    main(docs)
