"""nginx and HAProxy, in front of a server of ours.

Each gets a listening socket that is bound already, so that no port has to be guessed, and connections can be made at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from peer.certificates import identity

from .remote import need

__all__ = ["Proxy", "haproxy", "nginx"]


class Proxy:
    """A proxy that is running.

    Attributes:
        address: host and port, as a URL has them.
    """

    def __init__(self, listening: socket.socket, tls: bool) -> None:
        host, port = listening.getsockname()[:2]
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._scheme = "wss" if tls else "ws"

    def url(self, path: str) -> str:
        """The address of a path behind it."""
        return f"{self._scheme}://{self.address}{path}"


NGINX = """
daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr warn;
events { worker_connections 256; }
http {
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    map $http_upgrade $connection_upgrade { default upgrade; '' ''; }
    server {
        listen %(address)s%(tls)s;
        %(location)s
    }
}
"""
LOCATION = """
location / {
    proxy_pass http://127.0.0.1:%(port)d;
    proxy_http_version 1.1;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $connection_upgrade;
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header Forwarded "for=$remote_addr;proto=$scheme";
    proxy_buffering off;
    proxy_read_timeout 90s;
    proxy_send_timeout 90s;
}
"""


@contextlib.asynccontextmanager
async def nginx(
    port: int, folder: Path, *, host: str = "127.0.0.1", tls: bool = False, location: str = LOCATION
) -> AsyncIterator[Proxy]:
    """nginx before the server at a port of loopback; it may end TLS."""
    program = need("nginx", "apt-get install -y nginx-light")
    listening = _listen(host)
    options = ""
    if tls:
        certificate, key = identity().write(folder)
        options = f" ssl; ssl_certificate {certificate}; ssl_certificate_key {key}"
    proxy = Proxy(listening, tls)
    configuration = NGINX % {"address": proxy.address, "tls": options, "location": location % {"port": port}}
    # How nginx hands its sockets over to a new version of itself.
    environment = os.environ | {"NGINX": f"{listening.fileno()};"}
    path = folder / "nginx.conf"
    path.write_text(configuration)
    command = [program, "-e", "stderr", "-p", str(folder), "-c", str(path)]
    async with _running(command, listening, folder, environment):
        yield proxy


HAPROXY = """
global
    maxconn 256
defaults
    mode http
    option http-no-delay
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    timeout http-request 10s
    timeout tunnel 1h
    timeout client-fin 10s
    timeout check 2s
frontend outside
    bind fd@%(descriptor)d%(tls)s
    option forwardfor
    default_backend inside
%(backend)s
"""
BACKEND = """
backend inside
    option httpchk GET /readyz
    server everwire 127.0.0.1:%(port)d check inter 100 %(send)s
"""


@contextlib.asynccontextmanager
async def haproxy(
    port: int,
    folder: Path,
    *,
    host: str = "127.0.0.1",
    tls: bool = False,
    proxy_protocol: bool = False,
    backend: str = BACKEND,
) -> AsyncIterator[Proxy]:
    """HAProxy before the server at a port of loopback; it may end TLS, and tell addresses by PROXY v2."""
    program = need("haproxy", "apt-get install -y haproxy")
    listening = _listen(host)
    options = ""
    if tls:
        both = folder / "both.pem"
        both.write_bytes(identity().certificate + identity().key)
        options = f" ssl crt {both}"
    send = "send-proxy-v2 check-send-proxy" if proxy_protocol else ""
    path = folder / "haproxy.cfg"
    inside = backend % {"port": port, "send": send}
    path.write_text(HAPROXY % {"descriptor": listening.fileno(), "tls": options, "backend": inside})
    proxy = Proxy(listening, tls)
    async with _running([program, "-db", "-f", str(path)], listening, folder, dict(os.environ)):
        yield proxy


def _listen(host: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.create_server((host, 0), family=family)
    listening.setblocking(False)
    return listening


@contextlib.asynccontextmanager
async def _running(
    command: Sequence[str], listening: socket.socket, folder: Path, environment: dict[str, str]
) -> AsyncIterator[None]:
    said = folder / "said"
    with open(said, "wb") as output, listening:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=DEVNULL, stdout=output, stderr=output, env=environment, pass_fds=[listening.fileno()]
        )
    # From here on only the proxy has the socket: if it ends, connections are refused.
    try:
        yield
    finally:
        ended = process.returncode
        if ended is None:
            os.kill(process.pid, signal.SIGTERM)
            await process.wait()
        else:
            pytest.fail(f"{command[0]} ended with {ended}: {said.read_text()[-2000:]}", pytrace=False)
