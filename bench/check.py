"""Does every server answer correctly, does every client send and receive correctly? Every byte is compared."""

from collections.abc import Iterable

import generator
import measurement
import process
from client import Client
from contender import Contender
from generator import Generator, LoadFailed
from server import LIMIT, Running, Server, ServerFailed

ECHO_SIZES = (0, 1, 125, 126, 65_535, 65_536, 1 << 20)
"""Bytes; every form of the length field, at both of its ends."""

SHORT = ["--verify", "--seconds", "0.15", "--warmup", "0"]

ECHOES = (
    *(["echo", "--connections", "3", "--depth", "3", "--size", str(size), "--binary"] for size in ECHO_SIZES),
    ["echo", "--connections", "3", "--depth", "16", "--size", "64"],
)
"""What servers and clients have to get right."""

OTHERS = (
    ["fanout", "--connections", "20", "--depth", "3", "--size", "64"],
    ["fanout", "--connections", "20", "--depth", "3", "--size", "70000", "--binary"],
    ["handshake", "--connections", "4"],
)
"""What only servers can do."""


def check(contenders: Iterable[Contender], *, tls: bool) -> bool:
    """Print a line for each server and client, and return whether all of them are correct."""
    is_correct = True
    for contender in contenders:
        problems: list[str] = []
        match contender:
            case Server():
                problems += problems_of_server(contender, tls=False)
                problems += problems_of_server(contender, tls=True) if tls else []
            case Client():
                problems += problems_of_client(contender)
        how = "plain and TLS" if tls and isinstance(contender, Server) else "plain"
        verdict = "; ".join(problems) if problems else f"correct, {how}"
        print(f"{contender.side.value} {contender.name:16} {verdict}", flush=True)
        is_correct = is_correct and not problems
    return is_correct


def problems_of_server(server: Server, *, tls: bool) -> list[str]:
    """What the server did wrong."""
    problems = []
    try:
        with Running(server, tls=tls) as running:
            for work in (*ECHOES, *OTHERS):
                arguments = [*work, *(["--tls"] if tls else [])]
                problems += problem_with(arguments, generator.load([*arguments, *SHORT], running.port))
                running.check()
    except ServerFailed as error:
        problems.append(str(error))
    return problems


def problems_of_client(client: Client) -> list[str]:
    """What the client did wrong; the reference server, which is known to be right, answers it."""
    problems = []
    try:
        with Running(LIMIT, cpu=process.LOAD_CPU) as running:
            for arguments in ECHOES:
                problems += problem_with(arguments, client.start([*arguments, *SHORT], running.port))
    except ServerFailed as error:
        problems.append(str(error))
    return problems


def problem_with(arguments: list[str], program: Generator) -> list[str]:
    """What went wrong with one kind of work, if something did."""
    try:
        with program:
            problem = measurement.problem_of(program.wait_for("done"))
    except LoadFailed as error:
        problem = str(error)
    return [f"{' '.join(arguments)}: {problem}"] if problem else []
