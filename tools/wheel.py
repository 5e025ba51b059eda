"""``make wheel``: a release wheel for this Python, in dist/."""

import sys

import environment
import machine
from step import ROOT, main, run


def wheel() -> None:
    machine.rust()
    environment.packages(environment.TOOLS / "build.txt")
    interpreter = ["--interpreter", sys.executable]
    run(sys.executable, "-m", "maturin", "build", "--release", "--locked", *interpreter, "--out", ROOT / "dist")


if __name__ == "__main__":
    main(wheel)
