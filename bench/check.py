"""Does every server answer correctly? Every byte that comes back is compared."""

from collections.abc import Iterable

import measurement
from generator import Generator, LoadFailed
from server import Running, Server, ServerFailed

ECHO_SIZES = (0, 1, 125, 126, 65_535, 65_536, 1 << 20)
"""Bytes; every form of the length field, at both of its ends."""

SHORT = ["--verify", "--seconds", "0.15", "--warmup", "0"]

WORK = (
    *(["echo", "--connections", "3", "--depth", "3", "--size", str(size), "--binary"] for size in ECHO_SIZES),
    ["echo", "--connections", "3", "--depth", "16", "--size", "64"],
    ["fanout", "--connections", "20", "--depth", "3", "--size", "64"],
    ["fanout", "--connections", "20", "--depth", "3", "--size", "70000", "--binary"],
    ["handshake", "--connections", "4"],
)


def check(servers: Iterable[Server], *, tls: bool) -> bool:
    """Print a line for each server, and return whether all of them are correct."""
    is_correct = True
    for server in servers:
        problems = problems_of(server, tls=False) + (problems_of(server, tls=True) if tls else [])
        verdict = "; ".join(problems) if problems else "correct, plain and TLS" if tls else "correct, plain"
        print(f"{server.name:16} {verdict}", flush=True)
        is_correct = is_correct and not problems
    return is_correct


def problems_of(server: Server, *, tls: bool) -> list[str]:
    """What the server did wrong."""
    problems = []
    try:
        with Running(server, tls=tls) as running:
            for work in WORK:
                arguments = [*work, *(["--tls"] if tls else [])]
                if problem := problem_with(arguments, running.port):
                    problems.append(f"{' '.join(arguments)}: {problem}")
    except ServerFailed as error:
        problems.append(str(error))
    return problems


def problem_with(arguments: list[str], port: int) -> str:
    """What went wrong with one kind of work, or nothing."""
    try:
        with Generator([*arguments, *SHORT], port) as generator:
            return measurement.problem_of(generator.wait_for("done"))
    except LoadFailed as error:
        return str(error)
