"""Listening sockets: made, bound, and looked at before anybody can reach them."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import logging
import os
import socket
import stat
from collections.abc import Iterable, Sequence
from typing import Any

from ..errors import UsageError
from ..http import is_loopback

__all__ = ["bind", "bind_unix", "check_exposure", "socket_name"]

LOOPBACK = ("127.0.0.1", "::1")


async def bind(
    host: str | Sequence[str] | None,
    port: int | None,
    sock: socket.socket | None,
    *,
    family: int = socket.AF_UNSPEC,
    reuse_port: bool = False,
) -> list[socket.socket]:
    """Bind a socket for every address of every host; port 0 takes one free port for all.

    Where a name leads to IPv6 or IPv4, and this machine has only the other one, that is enough.

    Raises:
        UsageError: both an address and a socket are given, or neither.
        OSError: an address cannot be bound.
    """
    if sock is not None:
        if host is not None or port is not None:
            raise UsageError("give either host and port, or sock")
        if sock.type != socket.SOCK_STREAM:
            raise UsageError("sock must be a stream socket")
        return [sock]
    if port is None:
        raise UsageError("a port is missing: serve(handler, host, port), 0 for a free one")
    hosts = LOOPBACK if host is None else (host,) if isinstance(host, str) else tuple(host)
    loop = asyncio.get_running_loop()
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    try:
        seen = set()
        for name in hosts:
            infos = await loop.getaddrinfo(
                name or None, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
            for kind, _, _, _, address in infos:
                if port == 0 and sockets:
                    address = (address[0], sockets[0].getsockname()[1], *address[2:])
                if (kind, address) in seen:
                    continue
                seen.add((kind, address))
                try:
                    sockets.append(_bind(kind, address, reuse_port))
                except OSError as error:
                    # A name may lead to IPv6 where there is none; an address that somebody wrote is meant.
                    if host is None and sockets:
                        continue  # nobody asked for ::1 by name
                    if _is_address(name) or not _is_missing(kind, error):
                        raise
                    missing = error
        if not sockets and missing is not None:
            raise missing
    except BaseException:
        for made in sockets:
            made.close()
        raise
    return sockets


def bind_unix(path: str | None, sock: socket.socket | None) -> socket.socket:
    """Bind a Unix socket; a socket that a dead server left at the path is replaced."""
    if sock is not None:
        return sock
    assert path is not None
    with contextlib.suppress(FileNotFoundError):
        if path[:1] not in ("\0", "") and stat.S_ISSOCK(os.stat(path).st_mode) and not _answers(path):
            os.remove(path)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        made.bind(path)
    except OSError as error:
        made.close()
        raise OSError(error.errno, f"cannot listen on {path}: {error.strerror}") from None
    made.setblocking(False)
    return made


def check_exposure(
    sockets: Iterable[socket.socket],
    has_tls: bool,
    allow_plaintext: bool,
    logger: logging.Logger | logging.LoggerAdapter[Any],
) -> None:
    """Refuse to send and receive in the clear where others can read it, unless that was asked for.

    Raises:
        UsageError: a socket is bound beyond loopback without TLS.
    """
    open_to_others = [made for made in sockets if not is_loopback(made.getsockname()[0])]
    if has_tls or not open_to_others:
        return
    where = ", ".join(made.getsockname()[0] for made in open_to_others)
    if allow_plaintext:
        logger.warning("serving without TLS on %s: everybody on the way can read and change what is said", where)
        return
    for made in sockets:
        made.close()
    raise UsageError(
        f"{where} is not loopback: give ssl=everwire.TLS(certificate, key), "
        "or allow_plaintext=True if a proxy in front has TLS or the network is your own"
    )


def socket_name(listening: socket.socket) -> str:
    """Where a socket listens, for people."""
    name = listening.getsockname()
    if not isinstance(name, tuple):
        return os.fsdecode(name)
    return f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"


def _bind(family: int, address: Any, reuse_port: bool) -> socket.socket:
    try:
        made = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise OSError(error.errno, f"cannot listen on {address[0]}:{address[1]}: {error.strerror}") from None
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)
        made.setblocking(False)
    except OSError as error:
        made.close()
        raise OSError(error.errno, f"cannot listen on {address[0]}:{address[1]}: {error.strerror}") from None
    return made


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _is_missing(family: int, error: OSError) -> bool:
    """Whether an address could not be bound because this machine does not have its whole family."""
    if error.errno == errno.EAFNOSUPPORT:
        return True
    if error.errno != errno.EADDRNOTAVAIL:
        return False
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
    except OSError:
        return True
    return False


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
        return True
