"""Colors: those of the terminal's own palette, so that they suit its background."""

from __future__ import annotations

import os

from prompt_toolkit.output.color_depth import ColorDepth
from prompt_toolkit.styles import Style

__all__ = ["STYLE", "Fragments", "color_depth"]

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


def color_depth() -> ColorDepth | None:
    """No colors if the environment has ``NO_COLOR`` (https://no-color.org); otherwise what the terminal can do."""
    return ColorDepth.DEPTH_1_BIT if os.environ.get("NO_COLOR") else None
