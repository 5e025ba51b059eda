"""curl reads from our server."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

import pytest
from peer.certificates import authority, identity

import everwire
from interop.messages import TEXT, messages

MESSAGES = [TEXT, *messages()]
RECEIVE_ERROR = 56


def speaks_websocket() -> bool:
    """Whether there is a curl with this protocol; Debian 12's has been built without."""
    curl = shutil.which("curl")
    if curl is None:
        return False
    said = subprocess.run([curl, "--version"], capture_output=True, text=True, check=True).stdout
    return any(line.startswith("Protocols:") and "wss" in line.split() for line in said.splitlines())


pytestmark = pytest.mark.skipif(
    not speaks_websocket(), reason="no curl that speaks WebSocket, and nothing else needs one"
)


async def tell(connection: everwire.ServerConnection) -> None:
    """Say everything to somebody who only listens, but answers pings."""
    for message in MESSAGES:
        await connection.send(message)
    assert await (await connection.ping()) > 0


async def listen(*arguments: str) -> bytes:
    """What curl prints: the payloads of all frames, that of the close frame too, which it does not answer.

    So it is hung up on; over TLS it finds that an error, as it should.
    """
    process = await asyncio.create_subprocess_exec("curl", "-s", "-N", *arguments, stdin=PIPE, stdout=PIPE)
    said, _ = await process.communicate()
    assert process.returncode in (0, RECEIVE_ERROR)
    return said.removesuffix((1000).to_bytes(2))


@pytest.mark.parametrize("how", ["plain", "tls", "unix"])
async def test_curl_prints_every_message(how: str, socket_folder: Path) -> None:
    options: dict[str, Any] = {"close_timeout": 1}
    if how == "unix":
        path = str(socket_folder / "socket")
        async with everwire.unix_serve(tell, path, **options):
            said = await listen("--unix-socket", path, "ws://localhost/")
    else:
        if how == "tls":
            options["ssl"] = everwire.TLS(identity().certificate, identity().key)
        async with everwire.serve(tell, "127.0.0.1", 0, **options) as server:
            where = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
            trust = socket_folder / "authority.pem"
            trust.write_bytes(authority().pem)
            scheme = "wss" if how == "tls" else "ws"
            said = await listen("--cacert", str(trust), f"{scheme}://{where}/")
    assert said == b"".join(message.encode() if isinstance(message, str) else message for message in MESSAGES)
