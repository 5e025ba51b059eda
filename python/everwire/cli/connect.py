"""``everwire connect``."""

from __future__ import annotations

import os
import sys
from typing import Any

import click
from click.core import ParameterSource

from ..errors import UsageError
from ..limits import Limits
from .endpoint import Endpoint
from .input import Input
from .notice import notice
from .opening import Opening
from .output import Output
from .pipe import Pipe
from .secret import read_token
from .session import Session

__all__ = ["connect"]

FILE = click.Path(exists=True, dir_okay=False)

EPILOG = """\
\b
Exit codes:
    0  the connection ended in order
    1  it was lost or closed with an error, or --count was not reached
    2  the arguments or the input cannot be used
    3  no connection could be made
    4  the server refused, or does not speak WebSocket
  130  Ctrl-C
"""


@click.command(epilog=EPILOG)
@click.argument("url")
@click.option("--send", "messages", metavar="MESSAGE", multiple=True, help="Send this and show what comes; repeatable.")
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="End after N received messages.")
@click.option(
    "--wait",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="End this long after everything was sent; without it the server ends it.",
)
@click.option(
    "--json",
    "is_json",
    is_flag=True,
    help="Write a line of JSON for every received message; what is sent has to be JSON.",
)
@click.option(
    "--binary",
    "is_binary",
    is_flag=True,
    help="Send standard input as one binary message, --send as hexadecimal or @file; write bytes as they come.",
)
@click.option("--timestamps", is_flag=True, help="Show when each message came.")
@click.option(
    "-H", "--header", "headers", metavar="'NAME: VALUE'", multiple=True, help="Add a field to the request; repeatable."
)
@click.option(
    "--token",
    envvar="EVERWIRE_TOKEN",
    show_envvar=True,
    metavar="TOKEN|@FILE",
    help="Send it as Authorization: Bearer.",
)
@click.option("--origin", metavar="ORIGIN", help="Send this Origin, as https://example.com.")
@click.option(
    "--subprotocol",
    "subprotocols",
    metavar="NAME",
    multiple=True,
    help="Offer a subprotocol, the favorite first; repeatable.",
)
@click.option(
    "--cacert", type=FILE, metavar="FILE", help="Trust these authorities or certificates (PEM) instead of the system's."
)
@click.option("--cert", type=FILE, metavar="FILE", help="Show this certificate (PEM).")
@click.option("--key", type=FILE, metavar="FILE", help="Its private key (PEM), if it is not in the same file.")
@click.option(
    "--insecure", is_flag=True, help="Trust anybody: whoever sits on the path can read and change everything."
)
@click.option(
    "--proxy",
    metavar="URL|none",
    help="Go through this proxy, as http://host:port or socks5h://host:port; by default that of the environment.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="For connecting, TLS and handshake together.",
)
@click.option(
    "--ping-interval",
    type=click.FloatRange(min=0),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="Between heartbeats; 0 for none.",
)
@click.option(
    "--max-size",
    type=click.IntRange(min=1),
    default=Limits.message,
    show_default=True,
    metavar="BYTES",
    help="Of the largest message to accept.",
)
@click.option("--no-compression", is_flag=True, help="Do not offer permessage-deflate.")
@click.option(
    "-v",
    "--verbose",
    "is_verbose",
    is_flag=True,
    help="Show the handshake, secrets masked; with --json also what is sent, and the end.",
)
@click.pass_context
def connect(ctx: click.Context, /, url: str, **options: Any) -> None:
    """Talk to the WebSocket server at URL.

    Without a scheme it is ws:// for this machine (localhost:8000/path, or :8000/path), and wss:// for others.

    On a terminal it asks for lines, sends them, and shows what comes. With --send, --json, --binary, --count or --wait,
    or in a pipe, every line of standard input is sent as a text message, and every received message is written as a
    line.
    """
    try:
        session = _session(ctx, url, options)
    except UsageError as error:
        raise click.UsageError(str(error), ctx) from None
    except OSError as error:
        raise click.UsageError(f"{error.filename}: {error.strerror}", ctx) from None
    ctx.exit(session.run())


def _session(ctx: click.Context, url: str, options: dict[str, Any]) -> Session:
    endpoint = Endpoint.parse(url)
    headers = tuple(map(_field, options["headers"]))
    token = _token(ctx, options["token"], headers)
    opening = Opening(
        endpoint=endpoint,
        headers=headers,
        token=token,
        origin=options["origin"],
        subprotocols=options["subprotocols"],
        timeout=options["timeout"],
        ping_interval=options["ping_interval"],
        is_compressed=not options["no_compression"],
        max_size=options["max_size"],
        insecure=options["insecure"],
        cacert=options["cacert"],
        cert=options["cert"],
        key=options["key"],
        proxy=options["proxy"],
    )
    pipe = None if _is_conversation(options) else _pipe(options)
    if opening.insecure:
        notice("WARNING: --insecure trusts anybody: whoever sits on the path can read and change everything")
    if token is not None and endpoint.is_exposed:
        notice("WARNING: the token goes over the network unencrypted: use wss://")
    return Session(opening, pipe, has_times=options["timestamps"], is_verbose=options["is_verbose"])


def _pipe(options: dict[str, Any]) -> Pipe:
    if sys.stdout is None:
        raise UsageError("standard output is closed: there is no place for messages")
    is_json, is_binary = options["is_json"], options["is_binary"]
    if is_json and is_binary:
        raise UsageError(
            "--json is about text, --binary about bytes: use one of them (--json writes binary messages, too)"
        )
    return Pipe(
        input=Input(options["messages"], is_binary=is_binary, is_json=is_json),
        output=Output(
            is_json=is_json, is_binary=is_binary, has_times=options["timestamps"], is_verbose=options["is_verbose"]
        ),
        count=options["count"],
        wait=options["wait"],
        is_verbose=options["is_verbose"],
    )


def _is_conversation(options: dict[str, Any]) -> bool:
    """Whether somebody sits at a terminal who asked for nothing that goes without a prompt."""
    asked = any(options[name] for name in ("messages", "is_json", "is_binary", "count")) or options["wait"] is not None
    if asked or sys.stdin is None or sys.stdout is None:
        return False
    return os.isatty(sys.stdin.fileno()) and os.isatty(sys.stdout.fileno())


def _field(given: str) -> tuple[str, str]:
    name, colon, value = given.partition(":")
    if not colon or not name.strip():
        # Its value may be secret, and what it is without a colon nobody knows.
        raise UsageError("--header takes a name, a colon and a value: write --header 'Name: value'")
    return name.strip(), value.strip()


def _token(ctx: click.Context, given: str | None, headers: tuple[tuple[str, str], ...]) -> str | None:
    if given is None:
        return None
    if any(name.lower() == "authorization" for name, _ in headers):
        # What is written here and now counts more than what the environment holds for all runs.
        if ctx.get_parameter_source("token") is ParameterSource.ENVIRONMENT:
            return None
        raise UsageError("--token and --header 'Authorization: …' say the same: use one of them")
    try:
        return read_token(given)
    except ValueError as error:
        raise UsageError(str(error)) from None
