"""The terminal, as a place to write to."""

from __future__ import annotations

import shutil
import sys

from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.output import create_output
from prompt_toolkit.renderer import print_formatted_text

from .style import STYLE, Fragments, color_depth

__all__ = ["columns", "show"]


def columns() -> int:
    """How wide the terminal is."""
    return shutil.get_terminal_size().columns


def show(fragments: Fragments) -> None:
    """Write them to standard output, with colors if the terminal has some, and end the line."""
    output = create_output(sys.stdout)
    print_formatted_text(output, FormattedText([*fragments, ("", "\n")]), STYLE, color_depth=color_depth())
