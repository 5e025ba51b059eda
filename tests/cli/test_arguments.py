"""Arguments that cannot be used are refused before anything is connected, in a line that says what would be right."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

import everwire
from everwire.cli.command import everwire as command


def refused(*arguments: str, environment: dict[str, str] | None = None) -> str:
    """What is said to these arguments."""
    result = CliRunner(env={"EVERWIRE_TOKEN": None, **(environment or {})}).invoke(command, ["connect", *arguments])
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    return result.stderr.splitlines()[-1]


def test_the_version_is_the_packages() -> None:
    result = CliRunner().invoke(command, ["--version"])
    assert (result.exit_code, result.output) == (0, f"everwire {everwire.__version__}\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Missing argument 'URL'"),
        (["http://example.com/x"], "http:// is for pages: use ws://example.com/x"),
        (["https://example.com"], "https:// is for pages: use wss://example.com"),
        (["ftp://example.com"], "it begins with ws:// or wss://"),
        (["/path"], "names no host: use one like wss://example.com/path, or localhost:8000"),
        (["ws://localhost/#part"], "has a fragment"),
        (["localhost:port"], "is not a URL"),
        (["localhost", "--count", "0"], "Invalid value for '--count'"),
        (["localhost", "--wait", "-1"], "Invalid value for '--wait'"),
        (["localhost", "--timeout", "0"], "Invalid value for '--timeout'"),
        (["localhost", "--max-size", "0"], "Invalid value for '--max-size'"),
        (["localhost", "--header", "no colon"], "write --header 'Name: value'"),
        (["localhost", "--header", ": x"], "write --header 'Name: value'"),
        (["localhost", "--cacert", "/nonexistent"], "Invalid value for '--cacert'"),
        (["localhost", "--json", "--binary"], "use one of them"),
        (["localhost", "--json", "--send", "{"], "the message '{' is not JSON"),
        (["localhost", "--binary", "--send", "xyz"], "'xyz' is not hexadecimal: write bytes like '48 69', or @file"),
        (["localhost", "--binary", "--send", "@/nonexistent"], "/nonexistent: No such file or directory"),
        (["localhost", "--token", ""], "the token is empty"),
        (["localhost", "--token", "@/nonexistent"], "/nonexistent: No such file or directory"),
        (["localhost", "--token", "x", "--header", "authorization: Basic x"], "say the same: use one of them"),
    ],
)
def test_wrong_arguments_are_explained(arguments: list[str], said: str) -> None:
    assert said in refused(*arguments)


def test_a_token_that_cannot_be_used_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("two words")
    for given in ("two words", f"@{tmp_path}/token"):
        assert "words" not in refused("localhost", "--token", given)
