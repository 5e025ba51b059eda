"""``make format``: Python by ruff, with its safe fixes, and Rust by rustfmt."""

import environment
import machine
from check import FUZZ, LOAD, python
from step import main, run


def format() -> None:  # noqa: A001 - the verb
    environment.packages(environment.TOOLS / "check.txt")
    python("ruff", "check", "--fix", "--exit-zero")
    python("ruff", "format")
    machine.rust()
    run("cargo", "fmt", "--all")
    for manifest in (LOAD, FUZZ):
        run("cargo", "fmt", "--manifest-path", manifest)


if __name__ == "__main__":
    main(format)
