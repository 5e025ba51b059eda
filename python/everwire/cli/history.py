"""The lines that were typed, kept between runs."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterable
from pathlib import Path

from prompt_toolkit.history import History as PromptHistory

__all__ = ["History", "history_path"]

KEPT = 1000
"""How many lines stay in the file."""


def history_path() -> Path:
    """Where it is: ``everwire/history`` in ``$XDG_STATE_HOME``, which is ``~/.local/state`` by default.

    Raises:
        OSError: the user has no home.
    """
    state = Path(os.environ.get("XDG_STATE_HOME", ""))
    # The XDG base directory specification ignores relative paths.
    if not state.is_absolute():
        state = Path(os.path.expanduser("~/.local/state"))
    if not state.is_absolute():
        raise FileNotFoundError(errno.ENOENT, "there is no home directory")
    return state / "everwire" / "history"


class History(PromptHistory):
    """A line of JSON for every line that was typed, in a file that only its owner can read: lines may hold secrets.

    Attributes:
        trouble: why lines are only kept in memory, if so.
    """

    def __init__(self, path: Path | None = None) -> None:
        """Open the file, and make it if it is not there.

        Args:
            path: of the file, if not the usual one.
        """
        super().__init__()
        self.trouble = ""
        try:
            self._path = path = path or history_path()
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(self._open())
            path.chmod(0o600)
            self._trim()
        except OSError as error:
            self.trouble = str(error)

    def load_history_strings(self) -> Iterable[str]:
        """The lines of earlier runs, the last first."""
        return [] if self.trouble else list(reversed(self._read()))

    def store_string(self, string: str) -> None:
        """Add a line to the file."""
        if self.trouble:
            return
        try:
            descriptor = self._open()
            with open(descriptor, "a", encoding="utf-8") as file:
                file.write(f"{json.dumps(string)}\n")
        except OSError as error:
            self.trouble = str(error)

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)

    def _read(self) -> list[str]:
        lines = []
        for line in self._path.read_text(encoding="utf-8", errors="replace").splitlines():
            # A line that was cut short, as by a full disk, is not worth an error.
            with contextlib.suppress(ValueError):
                lines.append(str(json.loads(line)))
        return lines

    def _trim(self) -> None:
        lines = self._read()
        if len(lines) <= 2 * KEPT:
            return
        shorter = self._path.with_suffix(f".{os.getpid()}")
        with open(os.open(shorter, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.writelines(f"{json.dumps(line)}\n" for line in lines[-KEPT:])
        shorter.replace(self._path)
