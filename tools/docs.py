"""``make docs``: write the pages that are generated, then run the code of all pages and follow their links."""

import check
import limits
from step import main
from testing import pytest


def docs() -> None:
    check.prepare()
    limits.page(write=True)
    pytest("tests/docs")


if __name__ == "__main__":
    main(docs)
