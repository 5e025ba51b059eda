"""``everwire`` on the command line. Its libraries come with the extra ``cli``."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line with the arguments of the process, and leave with its exit code.

    Raises:
        SystemExit: always; 2 if the libraries of the extra are not installed.
    """
    try:
        from .command import everwire
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("click", "prompt_toolkit", "pygments"):
            raise
        sys.exit(_missing(error))
    everwire(prog_name="everwire")


def _missing(error: ModuleNotFoundError) -> int:
    print(f"everwire: {error.name} is not installed: pip install 'everwire[cli]'", file=sys.stderr)
    return 2
