"""A peer whose machine goes away without a word: two network namespaces, and a cable that is pulled out."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from peer.certificates import authority, identity

SERVER = """
import asyncio, ssl, sys, time, everwire

async def sleeps(connection):
    await asyncio.sleep(3600)

async def waits(connection):
    await connection.wait_closed()

async def receives(connection):
    async for message in connection:
        pass

def context():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[3], sys.argv[4])
    return context

async def main():
    handler = {"sleeps": sleeps, "waits": waits, "receives": receives}[sys.argv[1]]
    tls = {"plain": lambda: None, "core": lambda: everwire.TLS(sys.argv[3], sys.argv[4]), "context": context}[sys.argv[2]]()
    async with everwire.serve(
        handler, "10.77.0.1", 0, ssl=tls, allow_plaintext=True, ping_interval=0.5, ping_timeout=1
    ) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        while not server.connections:
            await asyncio.sleep(0.01)
        (connection,) = server.connections
        # Several heartbeats go by before the cable is pulled out.
        await asyncio.sleep(2)
        print(connection.state.name, flush=True)
        began = time.monotonic()
        while connection.state.name != "CLOSED" and time.monotonic() - began < 15:
            await asyncio.sleep(0.05)
        print(connection.state.name, type(connection._exception().__cause__).__name__, flush=True)
        for task in list(server.handlers.values()):
            task.cancel()

asyncio.run(main())
"""

CLIENT = """
import asyncio, sys, everwire

async def main():
    tls = everwire.TLS(trust=sys.argv[2], check_hostname=False) if sys.argv[1].startswith("wss") else None
    client = await everwire.connect(sys.argv[1], ssl=tls, proxy=None, compression=None)
    for number in range(100):
        await client.send(str(number))
    await asyncio.sleep(60)

asyncio.run(main())
"""


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@pytest.fixture
def machines() -> Iterator[tuple[str, str]]:
    """Two machines with a cable between them; the first has the address 10.77.0.1."""
    if shutil.which("ip") is None or os.geteuid() != 0:
        pytest.skip("making network namespaces takes root and iproute2")
    near, far = f"everwire-{os.getpid()}-a", f"everwire-{os.getpid()}-b"
    with contextlib.ExitStack() as stack:
        for name in (near, far):
            try:
                ip("netns", "add", name)
            except subprocess.CalledProcessError:
                pytest.skip("this machine makes no network namespaces")
            stack.callback(ip, "netns", "del", name)
        ip("link", "add", "cable", "netns", near, "type", "veth", "peer", "name", "cable", "netns", far)
        for name, address in ((near, "10.77.0.1/24"), (far, "10.77.0.2/24")):
            ip("-n", name, "addr", "add", address, "dev", "cable")
            ip("-n", name, "link", "set", "cable", "up")
        yield near, far


def run_in(machine: str, *command: str | Path) -> subprocess.Popen[str]:
    inside = ["ip", "netns", "exec", machine, sys.executable, "-c", *map(str, command)]
    return subprocess.Popen(inside, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("handler", ["sleeps", "waits", "receives"])
@pytest.mark.parametrize("tls", ["plain", "core", "context"])
def test_a_peer_that_vanishes_is_found_whatever_the_handler_does(
    machines: tuple[str, str], tmp_path: Path, handler: str, tls: str
) -> None:
    near, far = machines
    certificate, key, trust = tmp_path / "certificate.pem", tmp_path / "key.pem", tmp_path / "trust.pem"
    certificate.write_bytes(identity().certificate)
    key.write_bytes(identity().key)
    trust.write_bytes(authority().pem)
    with run_in(near, SERVER, handler, tls, certificate, key) as server:
        assert server.stdout is not None
        port = server.stdout.readline().strip()
        scheme = "ws" if tls == "plain" else "wss"
        with run_in(far, CLIENT, f"{scheme}://10.77.0.1:{port}/", trust) as client:
            assert server.stdout.readline() == "OPEN\n"
            ip("-n", far, "link", "set", "cable", "down")
            assert server.stdout.readline() == "CLOSED TimeoutError\n"
            client.kill()
        assert server.wait(10) == 0
