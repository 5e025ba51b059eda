"""One run of the suite: against our server or our client, in one of the styles."""

import asyncio
import contextlib
import dataclasses
import json
import os
import re
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path

from python27 import HERE, Python
from verdict import Outcome, read_report

SILENCE = 900.0
"""Seconds without a new case, then the suite hangs; its own deadlines for a case go up to 480."""
END = 60.0
"""Seconds for a program to end by itself once its work is done."""


class Broken(Exception):
    """The run did not get to its end; the text says why."""


@dataclasses.dataclass(frozen=True)
class Contest:
    """What is run.

    Attributes:
        role: what of ours is tested, ``"server"`` or ``"client"``.
        style: the name of a style.
        cases: patterns of the cases to run.
        excluded: patterns of those not to run.
    """

    role: str
    style: str
    cases: Sequence[str]
    excluded: Sequence[str] = ()

    @property
    def name(self) -> str:
        """What it is called in tables and folders."""
        return f"{self.role}-{self.style}"


Progress = Callable[[Contest, int, int, str], None]
"""Called with a contest, how many cases were begun, how many there are, and the number of the newest."""


async def run(
    contest: Contest, suite: Python, folder: Path, progress: Progress
) -> tuple[dict[str, Outcome], list[str]]:
    """Run the suite once; returns the outcomes, and the numbers of the cases that were to be run.

    Raises:
        Broken: the suite, our server or our client ended too early, or complained.
    """
    report = folder / contest.name
    report.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        (report / "index.json").unlink()
    play = _attack_server if contest.role == "server" else _attack_client
    cases = await play(contest, suite, report, progress)
    if not (report / "index.json").exists():
        raise Broken(f"{contest.name}: the suite wrote no report")
    return read_report(report / "index.json", contest.style), cases


async def _attack_server(contest: Contest, suite: Python, report: Path, progress: Progress) -> list[str]:
    async with _program(report / "wsserver", sys.executable, HERE / "wsserver.py", contest.style) as server:
        url = await _first_line(contest, server)
        spec = {"servers": [{"agent": contest.style, "url": url}]}
        async with _wstest(contest, suite, report, "fuzzingclient", spec) as attacker:
            cases = await _follow(contest, attacker, progress)
            await asyncio.wait_for(attacker.wait(), END)
        assert server.stdin is not None
        server.stdin.close()
        await _check_end(contest, server, report / "wsserver.err")
    return cases


async def _attack_client(contest: Contest, suite: Python, report: Path, progress: Progress) -> list[str]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    url = f"ws://127.0.0.1:{port}"
    async with _wstest(contest, suite, report, "fuzzingserver", {"url": url}) as attacker:
        following = asyncio.create_task(_follow(contest, attacker, progress))
        await _answers(contest, attacker, port)
        client = _program(report / "wsclient", sys.executable, HERE / "wsclient.py", contest.style, url)
        async with client as running:
            ended = asyncio.create_task(_check_end(contest, running, report / "wsclient.err", within=None))
            # If the suite stops talking, the client waits for it forever.
            await asyncio.wait({following, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                ended.cancel()
                raise Broken(f"{contest.name}: the suite ended before our client")
            await ended
        _signal(attacker, signal.SIGTERM)
        return await following


@contextlib.asynccontextmanager
async def _wstest(
    contest: Contest, suite: Python, report: Path, mode: str, what: Mapping[str, object]
) -> AsyncIterator[Process]:
    spec = {**what, "outdir": str(report), "cases": list(contest.cases), "exclude-cases": list(contest.excluded)}
    (report / "spec.json").write_text(json.dumps(spec))
    wstest: list[str | Path] = [
        suite.path,
        suite.path.with_name("wstest"),
        "-m",
        mode,
        "-s",
        report / "spec.json",
        "-u",
        "0",
    ]
    async with _program(report / "wstest", *wstest, environment=suite.environment) as process:
        yield process


@contextlib.asynccontextmanager
async def _program(
    output: Path, *command: str | Path, environment: dict[str, str] | None = None
) -> AsyncIterator[Process]:
    with open(output.with_suffix(".err"), "wb") as errors:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, stderr=errors, env=environment, limit=2**20
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            _signal(process, signal.SIGKILL)
        await process.wait()


def _signal(process: Process, number: signal.Signals) -> None:
    # Process.terminate() and kill() first look whether it has ended, and so take its status away from asyncio's watcher.
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, number)


async def _first_line(contest: Contest, process: Process) -> str:
    assert process.stdout is not None
    line = (await asyncio.wait_for(process.stdout.readline(), END)).decode().strip()
    if not line:
        raise Broken(f"{contest.name}: our server did not start")
    return line


async def _follow(contest: Contest, attacker: Process, progress: Progress) -> list[str]:
    """Read what the suite prints until it ends; returns the numbers of the cases that it means to run."""
    assert attacker.stdout is not None
    cases: list[str] = []
    begun = 0
    while True:
        try:
            line = (await asyncio.wait_for(attacker.stdout.readline(), SILENCE)).decode(errors="replace")
        except TimeoutError:
            raise Broken(
                f"{contest.name}: nothing happened for {SILENCE:.0f} s in case {begun} of {len(cases)}"
            ) from None
        if not line:
            return cases
        if line.startswith("Cases = "):
            cases = re.findall(r"'([\d.]+)'", line)
        elif found := re.match(r"Running test case ID ([\d.]+)", line):
            begun += 1
            progress(contest, begun, len(cases), found[1])


async def _answers(contest: Contest, attacker: Process, port: int) -> None:
    """Wait until the suite listens; it does not say when."""
    loop = asyncio.get_running_loop()
    until = loop.time() + END
    while attacker.returncode is None and loop.time() < until:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    raise Broken(f"{contest.name}: the suite's server did not start")


async def _check_end(contest: Contest, process: Process, errors: Path, within: float | None = END) -> None:
    """Wait for a program of ours to end, which has to be quiet: what a peer does wrong is no reason to complain."""
    try:
        status = await asyncio.wait_for(process.wait(), within)
    except TimeoutError:
        raise Broken(f"{contest.name}: {errors.stem} did not end") from None
    said = errors.read_text().strip()
    if status != 0 or said:
        raise Broken(f"{contest.name}: {errors.stem} ended with {status}, and said: {said[-2000:]}")
