"""Runs a program that was written for `websockets` with its import changed: ``python example.py PROGRAM``.

Ports that are written into it are replaced, by 0 for servers (what they listen on is logged) and by ``EXAMPLE_URL`` for clients.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from pathlib import Path

CHANGES = (
    (r"^(\s*)from websockets\b", r"\1from everwire.compat.websockets"),
    (r"^(\s*)import websockets$", r"\1import everwire.compat.websockets as websockets"),
    (r"(\bserve\(\w+, \"\w*\"), \d+", r"\1, 0"),
    (r"8000 \+ int\(.*", "0"),
    (r"wss?://localhost:\d+", os.environ.get("EXAMPLE_URL", "")),
)


def main(program: Path) -> None:
    source = program.read_text()
    for pattern, replacement in CHANGES:
        source = re.sub(pattern, replacement, source, flags=re.MULTILINE)
    logging.getLogger("websockets").setLevel(logging.INFO)
    logging.getLogger("websockets").addHandler(logging.StreamHandler(sys.stderr))
    sys.path.insert(0, str(program.parent))
    sys.argv = sys.argv[1:]
    exec(compile(source, program, "exec"), {"__name__": "__main__", "__file__": str(program)})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
