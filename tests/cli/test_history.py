"""The file of lines."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from everwire.cli.history import KEPT, History, history_path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "everwire" / "history"


def lines(history: History) -> list[str]:
    return list(history.load_history_strings())


def test_lines_come_back_the_last_first(path: Path) -> None:
    history = History(path)
    for line in ("one", "two\nlines", "drei ü"):
        history.store_string(line)
    assert lines(History(path)) == ["drei ü", "two\nlines", "one"]


def test_only_the_owner_can_read_it_whatever_the_umask(path: Path) -> None:
    before = os.umask(0)
    try:
        History(path).store_string("x")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_file_that_others_could_read_is_closed_to_them(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_text('"x"\n')
    path.chmod(0o644)
    History(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_it_does_not_grow_without_end(path: Path) -> None:
    history = History(path)
    for number in range(2 * KEPT + 1):
        history.store_string(str(number))
    shorter = History(path)
    assert lines(shorter) == [str(number) for number in range(2 * KEPT, KEPT, -1)]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["history"]


def test_a_broken_line_costs_only_itself(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(b'"one"\n"tw\n\xff\n"three"\n')
    assert lines(History(path)) == ["three", "one"]


def test_a_link_to_another_file_is_not_followed(path: Path, tmp_path: Path) -> None:
    path.parent.mkdir(parents=True)
    (tmp_path / "other").write_text("")
    path.symlink_to(tmp_path / "other")
    history = History(path)
    history.store_string("x")
    assert history.trouble
    assert (tmp_path / "other").read_text() == ""


def test_without_a_place_lines_are_kept_in_memory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    history = History(tmp_path / "file" / "history")
    assert "File exists" in history.trouble
    history.append_string("x")
    assert history.get_strings() == ["x"]


def test_without_a_home_lines_are_kept_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("os.getuid", lambda: 54321)
    assert "there is no home directory" in History().trouble


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("/state", "/state/everwire/history"),
        ("relative", "~/.local/state/everwire/history"),
        ("", "~/.local/state/everwire/history"),
    ],
)
def test_it_is_where_xdg_says(monkeypatch: pytest.MonkeyPatch, state: str, expected: str) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", state)
    assert history_path() == Path(expected).expanduser()
