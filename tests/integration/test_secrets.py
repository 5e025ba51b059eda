"""Every error that a secret can be part of is provoked, with logging at DEBUG: nothing that comes out shows it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from peer.certificates import authority, identity, server_context
from peer.connecting import ConnectProxy
from peer.http import read_head
from peer.server import RawServer, answer
from peer.timing import MS, eventually

import everwire
import everwire.browser
from everwire import TLS

SECRET = "hun@ter2"
ESCAPED = "hun%40ter2%2Fx"
JWT = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJodW50ZXIifQ.aHVudGVyMg"
TELLING = ("ter2", "hunter", JWT, "aHVudGVy", "dXNlcjpodW5AdGVyMi94")
"""Parts of the secrets, plain and as Basic authentication has them."""

USER = f"user:{ESCAPED}@"
HEADERS = {"Authorization": f"Bearer {JWT}", "Cookie": f"session={JWT}", "X-API-Key": JWT}
SUBPROTOCOLS = ["chat", "bearer", JWT]
OPTIONS: dict[str, Any] = {
    "additional_headers": HEADERS, "subprotocols": SUBPROTOCOLS, "open_timeout": 3000 * MS, "close_timeout": 100 * MS,
}  # fmt: skip


class Output:
    """All that comes out: the log, with tracebacks, and what is raised."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def add(self, error: BaseException) -> None:
        """An exception in each of its forms, with those behind it."""
        shown = [repr(error), str(error), *(str(one) for one in getattr(error, "__notes__", ()))]
        # The lines of this file are no output of ours.
        lines = "".join(traceback.format_exception(error)).splitlines()
        self.texts += shown + [line for line in lines if not line.startswith("    ")]
        for attribute in vars(error).values():
            self.texts.append(repr(attribute))

    def check(self) -> None:
        """Search for the secrets."""
        everything = "\n".join(self.texts)
        for part in TELLING:
            at = everything.find(part)
            assert at < 0, everything[max(0, at - 300) : at + 100]


@pytest.fixture
async def output(caplog: pytest.LogCaptureFixture) -> AsyncIterator[Output]:
    """Listens to everything, and searches it in the end."""
    asyncio.get_running_loop().set_debug(True)
    output = Output()
    with caplog.at_level(logging.DEBUG):
        yield output
    formatter = logging.Formatter("%(name)s %(message)s")
    output.texts += [formatter.format(record) for record in caplog.records]
    output.check()


def wrong(url: str) -> Callable[[], Awaitable[Any]]:
    async def run() -> None:
        await everwire.connect(url, **OPTIONS)

    return run


URLS = {
    "no scheme": f"user:{SECRET}@h/",
    "capitals": f"HTTP://user:{SECRET}@h/",
    "plain password": f"ws://user:{SECRET}@h/",
    "WS": f"WS://user:{SECRET}@h/#f",
    "fragment": f"ws://{USER}h/?token={JWT}#f",
    "port": f"ws://{USER}h:port/",
    "brackets": f"ws://{USER}[::1/",
    "no host": f"ws://{USER}/",
    "control": f"ws://{USER}h\x01/",
    "normalization": f"ws://{USER}h\N{CARE OF}i/",
    "no password": f"ws://{ESCAPED}@h/",
    "nobody there": f"ws://{USER}127.0.0.1:1/?token={JWT}",
    "no such name": f"ws://{USER}nowhere.invalid/?token={JWT}",
}


@pytest.mark.parametrize("name", URLS)
async def test_urls(name: str, output: Output) -> None:
    for make in (everwire.connect, everwire.browser.WebSocket, everwire.browser.WebSocketStream):
        try:
            made = make(URLS[name])  # type: ignore[operator]
            output.texts.append(repr(made))
            await (made if make is everwire.connect else asyncio.sleep(0))
        except (everwire.EverwireError, OSError, TypeError) as error:
            output.add(error)
        else:
            assert make is not everwire.connect
            with contextlib.suppress(everwire.UsageError):
                made.close()
    with pytest.raises((everwire.EverwireError, OSError)) as raised:
        await wrong(URLS[name])()
    output.add(raised.value)


@pytest.mark.parametrize(
    "location",
    [
        f"ws://{USER}127.0.0.1:1/?token={JWT}",
        f"WS://{USER}h/#f",
        f"ftp://{USER}h/",
        f"//{USER}h:port/",
        f"ws://{ESCAPED}@h/",
        f"ws://{USER}[",
        f"/{JWT}",
    ],
)
@pytest.mark.parametrize("options", [{}, {"host": "127.0.0.1"}, {"max_redirects": 0}, {"max_redirects": 1}])
async def test_redirects(location: str, options: dict[str, Any], output: Output) -> None:
    async def behave(client: Any, head: Any) -> None:
        client.write(f"HTTP/1.1 302 Go\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode())

    async with RawServer(behave) as server:
        with pytest.raises((everwire.EverwireError, OSError)) as raised:
            await everwire.connect(server.url.replace("ws://", f"ws://{USER}"), **OPTIONS, **options)
    output.add(raised.value)


PROXIES = [
    f"http://user:{SECRET}@p", f"HTTP://{USER}p/path", f"ftp://{USER}p", f"http://{ESCAPED}@p", f"http://{USER}p:port",
    f"http://{USER}127.0.0.1:1", f"socks5://{USER}127.0.0.1:1", f"https://{USER}127.0.0.1:1", f"user:{SECRET}@p",
]  # fmt: skip


@pytest.mark.parametrize("proxy", PROXIES)
@pytest.mark.parametrize("is_from_the_environment", [False, True])
async def test_proxies(
    proxy: str, is_from_the_environment: bool, output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY", "ws_proxy", "WS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    if is_from_the_environment:
        monkeypatch.setenv("ws_proxy", proxy)
    with pytest.raises((everwire.EverwireError, OSError)) as raised:
        await everwire.connect("ws://server.test/", proxy=is_from_the_environment or proxy, **OPTIONS)
    output.add(raised.value)


@pytest.mark.parametrize("is_secure", [False, True])
async def test_proxies_that_refuse_or_are_not_trusted(is_secure: bool, output: Output, tmp_path: Path) -> None:
    async with ConnectProxy(tls=server_context(tmp_path) if is_secure else None, credentials="other:one") as proxy:
        with pytest.raises(everwire.HandshakeFailed) as raised:
            await everwire.connect("ws://server.test/", proxy=proxy.url(USER), **OPTIONS)
    output.add(raised.value)


@pytest.mark.parametrize(
    "options",
    [
        {"subprotocols": JWT},
        {"subprotocols": ["bearer", f"{JWT} x"]},
        {"subprotocols": ["bearer", JWT, JWT]},
        {"additional_headers": {"Authorization": f"Bearer {JWT}\r\nX: y"}},
        {"additional_headers": {"Authorization": f"Bearer {JWT}\N{SNOWMAN}"}},
        {"additional_headers": {f"X {JWT}": "y"}},
        {"user_agent_header": f"{JWT}\n", "proxy": "http://127.0.0.1:1"},
    ],
)
async def test_arguments(options: dict[str, Any], output: Output) -> None:
    async with everwire.serve(lambda connection: connection.wait_closed(), "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        try:
            async with everwire.connect(url, **options):
                pass
        except (everwire.EverwireError, OSError, ValueError) as error:
            if f"X {JWT}" not in options.get("additional_headers", {}):
                output.add(error)


@pytest.mark.parametrize("status", [200, 401, 500, 503])
async def test_refusals_and_what_is_logged_when_coming_back(status: int, output: Output) -> None:
    async def behave(client: Any, head: Any) -> None:
        client.write(f"HTTP/1.1 {status} No\r\nSet-Cookie: session={JWT}\r\nContent-Length: 0\r\n\r\n".encode())

    async with RawServer(behave) as server:
        url = server.url.replace("ws://", f"WS://{USER}") + f"?token={JWT}"
        options = {**OPTIONS, "reconnect_delays": lambda: iter([MS, MS])}
        ws = everwire.ReconnectingWebSocket(url, **options)
        ws.start()
        with pytest.raises(everwire.HandshakeFailed) as raised:
            await ws.wait_open()
        output.add(raised.value)
        output.texts += [repr(ws), repr(ws.status)]
        with pytest.raises(everwire.HandshakeFailed) as again:
            async for _ in everwire.connect(url, **options):
                pass
        output.add(again.value)


async def test_a_token_service_s_errors_in_the_log(output: Output) -> None:
    def token() -> str:
        raise ConnectionError(f"GET https://idp.test/token?client_secret={JWT} failed for {JWT}")

    ws = everwire.ReconnectingWebSocket("ws://localhost/", token=token, reconnect_delays=lambda: iter([MS, 1000.0]))
    ws.start()
    await eventually(lambda: ws.state == "waiting")
    await ws.close()


async def test_tls(output: Output) -> None:
    async with everwire.serve(
        lambda connection: connection.wait_closed(), "127.0.0.1", 0, ssl=TLS(identity().certificate, identity().key)
    ) as server:
        url = f"wss://{USER}127.0.0.1:{server.sockets[0].getsockname()[1]}/?token={JWT}"
        with pytest.raises(everwire.HandshakeFailed) as raised:
            await everwire.connect(url, **OPTIONS)
        output.add(raised.value)
        for password in (SECRET, JWT):
            encrypted = identity().encrypted(b"right")
            with pytest.raises(ValueError, match="password") as undecipherable:
                tls = TLS(identity().certificate, encrypted, password=password, trust=authority().pem)
                await everwire.connect(url, ssl=tls)
            output.add(undecipherable.value)
            output.texts.append(repr(tls))


async def test_a_connection_that_works_and_its_objects(output: Output) -> None:
    async def handler(connection: everwire.ServerConnection) -> None:
        output.texts += [repr(connection), repr(connection.request), repr(connection.response)]
        raise RuntimeError("a defect of the handler")

    async with everwire.serve(handler, "127.0.0.1", 0, subprotocols=["chat"]) as server:
        url = f"ws://{USER}127.0.0.1:{server.sockets[0].getsockname()[1]}/?token={JWT}"
        options = {**OPTIONS, "additional_headers": {"Cookie": f"session={JWT}"}}
        opening = everwire.connect(url, **options)
        async with opening as connection:
            await connection.wait_closed()
            output.texts += [repr(opening), repr(connection), repr(connection.request), repr(connection.response)]


async def test_an_answer_that_breaks_the_rules(output: Output) -> None:
    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(await read_head(reader), f"Sec-WebSocket-Protocol: {JWT}x"))
        writer.close()

    async with await asyncio.start_server(behave, "127.0.0.1", 0) as server:
        with pytest.raises(everwire.HandshakeFailed) as raised:
            await everwire.connect(f"ws://{USER}127.0.0.1:{server.sockets[0].getsockname()[1]}/", **OPTIONS)
    output.add(raised.value)
