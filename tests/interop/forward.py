"""Proxies for clients that nobody here wrote: tinyproxy (HTTP), HAProxy before it (HTTPS), microsocks (SOCKS 5)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from peer.certificates import identity

from .remote import need

__all__ = ["PASSWORD", "USER", "https_proxy", "microsocks", "tinyproxy"]

USER, PASSWORD = "somebody", "s3cret"

TINYPROXY = """
Port %(port)d
Listen 127.0.0.1
Timeout 600
LogLevel Connect
MaxClients 100
BasicAuth %(user)s %(password)s
DisableViaHeader Yes
"""
FRONT = """
global
    maxconn 256
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend outside
    bind fd@%(descriptor)d ssl crt %(both)s
    default_backend inside
backend inside
    server tinyproxy 127.0.0.1:%(port)d
"""


@contextlib.asynccontextmanager
async def tinyproxy(folder: Path) -> AsyncIterator[int]:
    """tinyproxy, which wants to know a user and password; gives its port."""
    program = need("tinyproxy", "apt-get install -y tinyproxy-bin")
    with _reserved() as port:
        path = folder / "tinyproxy.conf"
        path.write_text(TINYPROXY % {"port": port, "user": USER, "password": PASSWORD})
        async with _listening([program, "-d", "-c", str(path)], port, folder):
            yield port


@contextlib.asynccontextmanager
async def microsocks(folder: Path) -> AsyncIterator[int]:
    """microsocks, likewise."""
    program = need("microsocks", "apt-get install -y microsocks")
    with _reserved() as port:
        command = [program, "-i", "127.0.0.1", "-p", str(port), "-u", USER, "-P", PASSWORD]
        async with _listening(command, port, folder):
            yield port


@contextlib.asynccontextmanager
async def https_proxy(folder: Path) -> AsyncIterator[int]:
    """tinyproxy with TLS before it; gives the port of that."""
    program = need("haproxy", "apt-get install -y haproxy")
    both = folder / "both.pem"
    both.write_bytes(identity().certificate + identity().key)
    async with tinyproxy(folder) as inner:
        with socket.create_server(("127.0.0.1", 0)) as front:
            port: int = front.getsockname()[1]
            path = folder / "front.cfg"
            path.write_text(FRONT % {"descriptor": front.fileno(), "both": both, "port": inner})
            async with _running([program, "-db", "-f", str(path)], folder / "front", front.fileno()):
                yield port


@contextlib.contextmanager
def _reserved() -> Iterator[int]:
    """A port that nobody else gets: bound, and not listened on, it may be bound again by who asks for its number."""
    with socket.socket() as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(("127.0.0.1", 0))
        yield reserved.getsockname()[1]


@contextlib.asynccontextmanager
async def _listening(command: list[str], port: int, folder: Path) -> AsyncIterator[None]:
    async with _running(command, folder / "said") as process:
        while True:
            # These programs announce nothing that could be waited for.
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                assert process.returncode is None, f"{command[0]} ended"
                await asyncio.sleep(0.02)
            else:
                writer.close()
                await writer.wait_closed()
                break
        yield


@contextlib.asynccontextmanager
async def _running(command: list[str], said: Path, *descriptors: int) -> AsyncIterator[asyncio.subprocess.Process]:
    with said.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=DEVNULL, stdout=output, stderr=output, pass_fds=descriptors
        )
    try:
        yield process
    finally:
        ended = process.returncode
        if ended is None:
            os.kill(process.pid, signal.SIGTERM)
            await process.wait()
        else:
            pytest.fail(f"{command[0]} ended with {ended}: {said.read_text()[-2000:]}", pytrace=False)
