"""The command ``everwire``, which the others belong to."""

from __future__ import annotations

import click

from .. import _core
from .connect import connect

__all__ = ["everwire"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(_core.__version__, prog_name="everwire", message="%(prog)s %(version)s")
def everwire() -> None:
    """Real time for Python, on the command line."""


everwire.add_command(connect)
