"""The clients that are compared, and one of them running."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import build
import process
from contender import Contender
from generator import Generator
from scenario import Side


@dataclass(frozen=True)
class Client(Contender):
    """One client."""

    side = Side.CLIENT

    def start(self, arguments: Sequence[str], port: int) -> Generator:
        """A fresh process of it, on the CPU of what is measured, that works on the server at ``port``."""
        program = str(build.BENCH / "clients" / self.program)
        # Not through a proxy, whatever the environment says.
        environment = {**os.environ, "PYTHONPATH": "", "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
        command = [str(build.PYTHON), program, *arguments, *self.arguments, "--port", str(port)]
        return Generator(command, process.MEASURED_CPU, environment)


CLIENTS = (
    Client("everwire", "everwire_client.py", ("--style", "callback"), "everwire"),
    Client("everwire-async", "everwire_client.py", ("--style", "async"), "everwire"),
    Client("picows", "picows_client.py", package="picows"),
    Client("picows-async", "websockets_client.py", ("--style", "picows"), "picows"),
    Client("aiohttp", "aiohttp_client.py", package="aiohttp"),
    Client("websockets", "websockets_client.py", ("--style", "websockets"), "websockets"),
)
