"""The terminal, as a place to write to. Colors are those of its own palette, so that they suit its background."""

from __future__ import annotations

import os
import shutil
import sys

from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.output import create_output
from prompt_toolkit.output.color_depth import ColorDepth
from prompt_toolkit.renderer import print_formatted_text
from prompt_toolkit.styles import Style

__all__ = ["STYLE", "Fragments", "color_depth", "columns", "show"]

Fragments = list[tuple[str, str]]
"""Pieces of text, each with the name of its style."""

STYLE = Style.from_dict(
    {
        "received": "ansigreen bold",
        "sent": "ansiblue bold",
        "prompt": "ansiblue bold",
        "faint": "ansibrightblack",
        "notice": "ansibrightblack",
        "failure": "ansired",
        "escape": "ansimagenta",
        "binary": "ansiyellow",
        "json.key": "ansicyan",
        "json.string": "ansigreen",
        "json.number": "ansiyellow",
        "json.word": "ansimagenta",
        "json.mark": "",
    }
)


def columns() -> int:
    """How wide the terminal is."""
    return shutil.get_terminal_size().columns


def show(fragments: Fragments) -> None:
    """Write them to standard output, with colors if the terminal has some, and end the line."""
    output = create_output(sys.stdout)
    print_formatted_text(output, FormattedText([*fragments, ("", "\n")]), STYLE, color_depth=color_depth())


def color_depth() -> ColorDepth | None:
    """No colors if the environment has ``NO_COLOR`` (https://no-color.org); otherwise what the terminal can do."""
    return ColorDepth.DEPTH_1_BIT if os.environ.get("NO_COLOR") else None
