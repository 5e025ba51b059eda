"""A connected socket: every address of a name, raced (RFC 8305, Happy Eyeballs v2)."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import functools
import itertools
import os
import socket
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any

__all__ = ["ATTEMPT_DELAY", "dial", "dial_unix", "interleaved", "race"]

ATTEMPT_DELAY = 0.25
"""Seconds that an attempt has for itself before the next begins beside it (RFC 8305 §8)."""

Found = tuple[int, Any]
"""A family and an address in it."""
Attempt = Callable[[], Coroutine[Any, Any, socket.socket]]


async def dial(
    host: str,
    port: int,
    *,
    family: int = socket.AF_UNSPEC,
    local_addr: tuple[str | None, int] | None = None,
    delay: float | None = ATTEMPT_DELAY,
) -> socket.socket:
    """A non-blocking socket that is connected to a host.

    Its addresses are tried in the system's order with the families in turn, each begun ``delay`` seconds after that before it, or
    when one has failed. The first that is connected wins; the sockets of the others are closed. Cancelling closes all.

    Args:
        host: a name or an address.
        port: where it listens.
        family: ``AF_INET`` or ``AF_INET6`` for only those.
        local_addr: our own host and port; of a name with several addresses, each attempt takes one of its own family.
        delay: seconds; ``None`` for one attempt after another.

    Raises:
        OSError: no attempt succeeded. It has the number that all errors share, if they share one, and tells each.
    """
    found = interleaved(await _look_up(host, port, family))
    own = None if local_addr is None else await _look_up(*local_addr, family)
    try:
        return await race([functools.partial(_connected, kind, address, own) for kind, address in found], delay)
    except ExceptionGroup as group:
        raise _failure(f"cannot connect to {host}:{port}", group) from group


async def dial_unix(path: str) -> socket.socket:
    """A non-blocking socket that is connected to a Unix socket.

    Raises:
        OSError: it cannot be.
    """
    return await _connected(socket.AF_UNIX, path, None)


def interleaved(found: Iterable[Found]) -> list[Found]:
    """Addresses with their families in turn, each once; the first of all stays the first (RFC 8305 §4)."""
    families: dict[int, list[Found]] = {}
    for one in dict.fromkeys(found):
        families.setdefault(one[0], []).append(one)
    in_turn = itertools.chain.from_iterable(itertools.zip_longest(*families.values()))
    return [one for one in in_turn if one is not None]


async def race(attempts: Sequence[Attempt], delay: float | None) -> socket.socket:
    """The socket of the first attempt that succeeds; those of all others are closed, and they have ended.

    Raises:
        ExceptionGroup: every attempt failed with an :exc:`OSError`: those, in the order in which they came.
    """
    waiting = collections.deque(attempts)
    running: list[asyncio.Task[socket.socket]] = []
    errors: list[Exception] = []
    try:
        while waiting or running:
            if waiting:
                running.append(asyncio.create_task(waiting.popleft()()))
            await asyncio.wait(running, timeout=delay if waiting else None, return_when=asyncio.FIRST_COMPLETED)
            for task in [task for task in running if task.done()]:
                running.remove(task)
                try:
                    return task.result()
                except OSError as error:
                    errors.append(error)
    finally:
        for task in running:
            task.add_done_callback(_drop)
            task.cancel()
        if running:
            await asyncio.wait(running)
    raise ExceptionGroup("every attempt failed", errors)


def _drop(task: asyncio.Task[socket.socket]) -> None:
    # A loser may have been connected, or have failed, just before it was told to stop.
    if not task.cancelled() and task.exception() is None:
        task.result().close()


async def _look_up(host: str | None, port: int, family: int) -> list[Found]:
    if host and (literal := _literal(host, port, family)):
        return [literal]
    loop = asyncio.get_running_loop()
    flags = 0 if host else socket.AI_PASSIVE
    try:
        infos = await loop.getaddrinfo(host or None, port, family=family, type=socket.SOCK_STREAM, flags=flags)
    except socket.gaierror as error:
        raise socket.gaierror(error.errno, f"cannot look up {host}: {error.strerror}") from None
    except UnicodeError as error:  # how a part of a name that is empty or too long comes out
        raise socket.gaierror(socket.EAI_NONAME, f"cannot look up {host}: {error}") from None
    return [(kind, address) for kind, _, _, _, address in infos]


def _literal(host: str, port: int, family: int) -> Found | None:
    # A lookup would go through a thread, even for this.
    for kind, rest in ((socket.AF_INET, ()), (socket.AF_INET6, (0, 0))):
        if family in (socket.AF_UNSPEC, kind):
            with contextlib.suppress(OSError, ValueError):
                socket.inet_pton(kind, host)
                return kind, (host, port, *rest)
    return None


async def _connected(family: int, address: Any, own: Sequence[Found] | None) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        if own is not None:
            _bind(sock, family, own)
        await asyncio.get_running_loop().sock_connect(sock, address)
    except OSError as error:
        sock.close()
        place = address if isinstance(address, str) else address[0]
        raise _error(error.errno, f"{place}: {os.strerror(error.errno) if error.errno else error}") from None
    except BaseException:
        sock.close()
        raise
    return sock


def _bind(sock: socket.socket, family: int, own: Sequence[Found]) -> None:
    errors: list[OSError] = []
    for address in [address for kind, address in own if kind == family]:
        try:
            return sock.bind(address)
        except OSError as error:
            errors.append(error)
    raise errors[0] if errors else OSError("local_addr has no address of this family")


def _failure(text: str, group: ExceptionGroup[Exception]) -> OSError:
    errors = [error for error in group.exceptions if isinstance(error, OSError)]
    numbers = {error.errno for error in errors}
    told = "; ".join(error.strerror or str(error) for error in errors)
    return _error(numbers.pop() if len(numbers) == 1 else None, f"{text}: {told}")


def _error(number: int | None, text: str) -> OSError:
    return OSError(number, text) if number else OSError(text)
