"""``make run``: build everything that is needed, then serve the chat until interrupted."""

import os
import sys

import environment
from step import ROOT, main, say


def run() -> None:
    environment.engine("release")
    say("serving examples/chat.py; end it with Ctrl-C")
    os.execv(sys.executable, [sys.executable, str(ROOT / "examples" / "chat.py"), *sys.argv[1:]])


if __name__ == "__main__":
    main(run)
