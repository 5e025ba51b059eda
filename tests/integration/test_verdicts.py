"""What a client decides about real events: the same whichever way TLS is done, at first and once it had a connection."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from peer.certificates import authority, client_context, server_context
from peer.frames import close
from peer.http import read_head
from peer.server import answer
from peer.timing import MS, eventually

import everwire
from everwire import TLS
from everwire.reconnect import Verdict, verdict

STOP, BACKOFF = Verdict.STOP, Verdict.BACKOFF
Behave = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]


class Place:
    """Where a client goes each time: a server whose behavior changes. It does not speak TLS unless its behavior does."""

    def __init__(self) -> None:
        self.behave: Behave = hang_up
        self.visits = 0
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[Any]] = set()

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[int]:
        """Listen; gives the port."""

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.visits += 1
            self._writers.append(writer)
            task = asyncio.ensure_future(self.behave(reader, writer))
            self._tasks.add(task)

        async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
            yield server.sockets[0].getsockname()[1]
            for task in self._tasks:
                task.cancel()
            for writer in self._writers:
                writer.transport.abort()
            await asyncio.gather(*self._tasks, return_exceptions=True)


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The server ends the connection after the client's first bytes."""
    await reader.read(1)
    writer.close()


def says(data: bytes) -> Behave:
    """A server that answers the client's first bytes with these."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(data)
        writer.close()

    return behave


def alert(number: int) -> Behave:
    """A server that answers with a fatal alert (RFC 8446 §6)."""
    return says(bytes([21, 3, 3, 0, 2, 2, number]))


def speaks_tls(make: Callable[[Path], ssl.SSLContext], inside: Behave | None = None) -> Callable[[Path], Behave]:
    """A server that speaks TLS, and inside of it what is said there."""

    def prepare(folder: Path) -> Behave:
        context = make(folder)

        async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                await writer.start_tls(context)
                await (inside or greet)(reader, writer)

        return behave

    return prepare


async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A WebSocket, until the client leaves."""
    writer.write(answer(await read_head(reader)))
    await reader.read(1000)  # the client's close frame: it waits for the server to hang up
    writer.close()


def asks_for_a_certificate(version: ssl.TLSVersion) -> Callable[[Path], Behave]:
    """A server that wants one, and says so when none comes: asyncio's TLS would not let the alert leave."""

    def prepare(folder: Path) -> Behave:
        context = server_context(folder)
        context.minimum_version = context.maximum_version = version
        context.load_verify_locations(cadata=authority("clients").pem.decode())
        context.verify_mode = ssl.CERT_REQUIRED

        async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = context.wrap_bio(incoming, outgoing, server_side=True)
            while data := await reader.read(65536):
                incoming.write(data)
                try:
                    tls.do_handshake()
                except ssl.SSLWantReadError:
                    pass
                except ssl.SSLError:
                    break
                finally:
                    writer.write(outgoing.read())
            writer.close()

        return behave

    return prepare


def responds(text: str) -> Behave:
    """An answer that is no WebSocket."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(text.encode())
        await writer.drain()
        writer.close()

    return behave


def closes(code: int, reason: str) -> Behave:
    """A WebSocket that is closed at once."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(await read_head(reader)) + close(code, reason, key=None))
        await reader.read(1000)
        writer.close()

    return behave


def showing(certificate: Callable[[], Any]) -> Callable[[Path], ssl.SSLContext]:
    """A context with a certificate that the client may not like."""

    def make(folder: Path) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*certificate().write(folder, "other"))
        return context

    return make


def over_tls(inside: Behave) -> Callable[[Path], Behave]:
    return speaks_tls(server_context, inside)


PAGE = "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n<html></html>"
EVENTS: dict[str, tuple[Callable[[Path], Behave], Verdict, Verdict]] = {
    "hangs up in TLS": (lambda _: hang_up, BACKOFF, BACKOFF),
    "alert internal_error": (lambda _: alert(80), BACKOFF, BACKOFF),
    "alert handshake_failure": (lambda _: alert(40), BACKOFF, BACKOFF),
    "alert unrecognized_name": (lambda _: alert(112), BACKOFF, BACKOFF),
    "alert decode_error": (lambda _: alert(50), BACKOFF, BACKOFF),
    "alert protocol_version": (lambda _: alert(70), STOP, BACKOFF),
    "alert no_application_protocol": (lambda _: alert(120), STOP, BACKOFF),
    "alert bad_certificate": (lambda _: alert(42), STOP, BACKOFF),
    "alert unknown_ca": (lambda _: alert(48), STOP, BACKOFF),
    "alert access_denied": (lambda _: alert(49), STOP, BACKOFF),
    "wants a certificate, TLS 1.2": (asks_for_a_certificate(ssl.TLSVersion.TLSv1_2), BACKOFF, BACKOFF),
    "wants a certificate, TLS 1.3": (asks_for_a_certificate(ssl.TLSVersion.TLSv1_3), STOP, BACKOFF),
    "speaks HTTP": (lambda _: says(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"), STOP, BACKOFF),
    "speaks something": (lambda _: says(b"SSH-2.0-OpenSSH_9.2p1\r\n"), STOP, BACKOFF),
    "certificate of somebody else": (
        speaks_tls(showing(lambda: authority("portal").issue("localhost"))), STOP, BACKOFF,
    ),
    "certificate for another name": (
        speaks_tls(showing(lambda: authority().issue("portal.test"))), STOP, BACKOFF,
    ),
    "hangs up inside": (over_tls(hang_up), BACKOFF, BACKOFF),
    "no HTTP inside": (over_tls(responds("garbage\r\n\r\n")), STOP, BACKOFF),
    "a page": (over_tls(responds(PAGE)), STOP, BACKOFF),
    "a way to a page": (over_tls(responds("HTTP/1.1 302 Go\r\nLocation: http://portal.test/\r\n\r\n")), STOP, BACKOFF),
    "401": (over_tls(responds("HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")), STOP, STOP),
    "404": (over_tls(responds("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n")), STOP, STOP),
    "503": (over_tls(responds("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")), BACKOFF, BACKOFF),
    "a wrong accept": (
        over_tls(responds("HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n")),
        STOP, STOP,
    ),
}  # fmt: skip
"""What happens, and what follows from it at first, and once there was a connection."""


@pytest.fixture(params=["core", "context"])
def trusting(request: pytest.FixtureRequest) -> Any:
    """Both ways of TLS."""
    return TLS(trust=authority().pem) if request.param == "core" else client_context()


@pytest.mark.parametrize("event", EVENTS)
async def test_the_same_event_has_the_same_verdict_whoever_does_tls(event: str, trusting: Any, tmp_path: Path) -> None:
    make, at_first, later = EVENTS[event]
    place = Place()
    place.behave = make(tmp_path)
    async with place.open() as port:
        url = f"wss://localhost:{port}/"
        with pytest.raises((everwire.HandshakeFailed, OSError)) as raised:
            await everwire.connect(url, ssl=trusting, host="127.0.0.1", open_timeout=5000 * MS)
        assert verdict(raised.value) is at_first
        raised.value.worked_before = True  # type: ignore[union-attr]
        assert verdict(raised.value) is later


def link(port: int, tls: Any = None, **options: Any) -> everwire.ReconnectingWebSocket:
    """A client that comes back soon."""
    return everwire.ReconnectingWebSocket(
        f"ws{'' if tls is None else 's'}://localhost:{port}/",
        ssl=tls, host="127.0.0.1", reconnect_delays=lambda: iter([MS] * 1000), **options,
    )  # fmt: skip


@pytest.mark.parametrize(
    "event", ["certificate of somebody else", "speaks HTTP", "a page", "alert unknown_ca", "no HTTP inside"]
)
async def test_a_captive_portal_after_a_connection_is_waited_for(event: str, trusting: Any, tmp_path: Path) -> None:
    place = Place()
    good = place.behave = over_tls(greet)(tmp_path)
    async with place.open() as port, link(port, trusting) as ws:
        place.behave = EVENTS[event][0](tmp_path)
        ws.reconnect()
        await eventually(lambda: place.visits >= 4)
        assert ws.state != "closed"
        place.behave = good
        await ws.wait_open()


@pytest.mark.parametrize("event", ["certificate of somebody else", "speaks HTTP", "a page"])
async def test_at_first_it_is_final(event: str, trusting: Any, tmp_path: Path) -> None:
    place = Place()
    place.behave = EVENTS[event][0](tmp_path)
    async with place.open() as port:
        with pytest.raises(everwire.HandshakeFailed):
            async with link(port, trusting):
                pass
    assert place.visits == 1


async def test_a_function_that_leaves_the_rest_to_the_default_waits_as_well(tmp_path: Path) -> None:
    place = Place()
    place.behave = greet

    def mine(error: Exception) -> Exception | None:
        return everwire.reconnect.process_exception(error)

    async with place.open() as port, link(port, process_exception=mine) as ws:
        place.behave = responds(PAGE)
        ws.reconnect()
        await eventually(lambda: place.visits >= 4)
        place.behave = greet
        await ws.wait_open()


async def test_the_iterator_of_connections_waits_as_well(tmp_path: Path) -> None:
    place = Place()
    place.behave = greet
    seen = 0
    async with place.open() as port:
        async for ws in everwire.connect(f"ws://127.0.0.1:{port}/", reconnect_delays=lambda: iter([MS] * 1000)):
            seen += 1
            if seen == 2:
                break
            pages = [responds(PAGE)] * 3

            async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await (pages.pop() if pages else greet)(reader, writer)  # noqa: B023

            place.behave = behave
            ws.abort()
            await ws.wait_closed()
        await ws.close()
    assert place.visits == 5


@pytest.mark.parametrize(("reason", "comes_back"), [("ping timeout", True), ("not allowed", False)])
async def test_1008_for_a_time_that_ran_out_is_followed_by_another_connection(reason: str, comes_back: bool) -> None:
    place = Place()
    place.behave = closes(1008, reason)
    async with place.open() as port, link(port) as ws:
        if comes_back:
            await eventually(lambda: place.visits >= 3)
        else:
            await ws.wait_closed()
            assert place.visits == 1


class TestAskedFor:
    async def test_a_token_that_the_network_does_not_give_is_asked_for_again(self) -> None:
        asked = 0

        class TransportError(Exception):
            """As httpx has them: its own kind, raised from what the system said."""

        async def token() -> str:
            nonlocal asked
            asked += 1
            if asked == 1:
                return "good"
            if asked < 4:
                try:
                    await asyncio.open_connection("127.0.0.1", 1)
                except OSError as error:
                    raise TransportError("connect") from error
            if asked == 4:
                try:
                    raise ConnectionResetError
                except OSError:
                    return {"cache": "empty"}["token"]
            return "better"

        place = Place()
        place.behave = greet
        async with place.open() as port, link(port, token=token) as ws:
            ws.reconnect()
            await ws.wait_open()
            assert asked == 5

    async def test_a_defect_is_final(self) -> None:
        def headers() -> dict[str, str]:
            raise KeyError("defect")

        with pytest.raises(KeyError, match="defect"):
            async with link(1, additional_headers=headers):
                pass

    async def test_so_is_a_url_that_is_none(self) -> None:
        asked: list[int] = []

        def uri() -> str:
            asked.append(1)
            return "http://localhost/"

        with pytest.raises(everwire.UsageError, match="not a WebSocket URL"):
            async with everwire.ReconnectingWebSocket(uri):
                pass
        assert len(asked) == 1

    async def test_so_is_a_file_of_trusted_certificates_that_is_missing(self, tmp_path: Path) -> None:
        place = Place()
        async with place.open() as port:
            with pytest.raises(FileNotFoundError):
                async with link(port, TLS(trust=tmp_path / "missing.pem")):
                    pass
        assert place.visits == 0


async def test_a_unix_socket_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "s"
    ws = everwire.ReconnectingWebSocket("ws://localhost/", path=str(path), reconnect_delays=lambda: iter([MS] * 1000))
    ws.start()
    await eventually(lambda: ws.status.attempt > 2)

    async def handler(connection: everwire.ServerConnection) -> None:
        await connection.wait_closed()

    async with everwire.unix_serve(handler, str(path)):
        await ws.wait_open()
        await ws.close()
