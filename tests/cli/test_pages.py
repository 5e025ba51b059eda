"""The pages about the command line: the reference is what ``--help`` says, and what the how-to shows is what happens."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import everwire
from everwire.cli.command import everwire as command_group
from everwire.cli.exit import Exit
from everwire.cli.slash import HELP

from .conftest import PATIENCE, Command

DOCS = Path(__file__).parents[2] / "docs"
REFERENCE = (DOCS / "reference" / "cli.md").read_text(encoding="utf-8")
HOW_TO = (DOCS / "howto" / "command-line.md").read_text(encoding="utf-8")


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", HOW_TO, flags=re.DOTALL | re.MULTILINE)


def held(name: str) -> str:
    """What stands in the reference between the marks of that name."""
    found = re.search(rf"<!-- {name}: begin.*?-->\n```text\n(.*?)```\n<!-- {name}: end -->", REFERENCE, re.DOTALL)
    assert found is not None
    return found[1]


def test_the_reference_has_the_help() -> None:
    help_text = CliRunner().invoke(command_group, ["connect", "--help"], terminal_width=80, prog_name="everwire").output
    assert held("help") == help_text


def test_the_reference_has_the_commands_of_lines() -> None:
    assert held("commands") == f"{HELP}\n"


def test_every_command_of_lines_is_described() -> None:
    assert set(re.findall(r'case "(/\w+)"', (Path(everwire.__file__).parent / "cli" / "slash.py").read_text())) == set(
        re.findall(r"^(/\w+)", HELP, flags=re.MULTILINE)
    )


def test_the_reference_and_the_help_have_the_exit_codes() -> None:
    codes = [str(code.value) for code in Exit]
    assert re.findall(r"^\| (\d+) \|", REFERENCE, flags=re.MULTILINE) == codes
    assert re.findall(r"^ +(\d+)  ", held("help"), flags=re.MULTILINE) == codes


@pytest.mark.parametrize("script", blocks("sh"))
async def test_a_script_of_the_how_to_works(script: str, command: Command, echo: str, tmp_path: Path) -> None:
    wrapper = tmp_path / "bin" / "everwire"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m everwire "$@"\n')
    wrapper.chmod(0o755)
    process = await asyncio.create_subprocess_exec(
        "bash", "-euo", "pipefail", "-c", script.replace("wss://echo.example/", echo), cwd=tmp_path,
        env=command.environment | {"PATH": f"{wrapper.parent}:{command.environment['PATH']}"},
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(PATIENCE):
        out, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    assert out or (tmp_path / "answers").exists() or (tmp_path / "received").exists()


async def test_the_conversation_of_the_how_to_goes_like_that(command: Command, echo: str) -> None:
    (shown,) = blocks("console")
    first, *lines = shown.splitlines()
    assert first == "$ everwire connect localhost:8000"
    host = echo.removeprefix("ws://").rstrip("/")
    async with command.terminal("connect", host) as terminal:
        at = 0
        for line in lines:
            if line.startswith("> ") and not line.startswith("> binary"):
                await terminal.see("> ", at)
                terminal.type(f"{line[2:]}\r")
                # Commands are not repeated, JSON is laid out.
                if line.startswith(("> /", "> {")):
                    continue
            expected = line.replace("localhost:8000", host).replace("localhost", "127.0.0.1")
            for part in re.split(r"[\d.]+ ms", expected):
                at = await terminal.see(part, at)
        assert await terminal.code() == 0
