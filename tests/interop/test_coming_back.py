"""Our client comes back to servers that are not ours, and through nginx and HAProxy, while they restart."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from peer.service import Service
from peer.timing import MS, eventually

import everwire

from .proxies import Proxy, haproxy, nginx
from .servers import Foreign, Options, Server

PROXIES: dict[str, Callable[..., AbstractAsyncContextManager[Proxy]]] = {"nginx": nginx, "haproxy": haproxy}


def soon() -> itertools.repeat[float]:
    """Delays for tests."""
    return itertools.repeat(20 * MS)


async def state(ws: everwire.ReconnectingWebSocket, wanted: str) -> everwire.LinkStatus:
    """Wait for a state."""
    async with asyncio.timeout(20_000 * MS):
        async for status in ws.states():
            if status.state == wanted:
                return status
    raise AssertionError(f"it never was {wanted}")


class TestServers:
    @pytest.mark.parametrize("code", [1001, 1011, 1012, 1013, 3008, 4100, 4200, 4400])
    async def test_it_comes_back_after_these_codes(self, server: Server, code: int, tmp_path: Path) -> None:
        async with server(Options(folder=tmp_path)) as foreign:
            async with everwire.ReconnectingWebSocket(foreign.url("/close"), reconnect_delays=soon) as ws:
                for _ in range(2):
                    losing = asyncio.ensure_future(state(ws, "waiting"))
                    await asyncio.sleep(0)
                    await ws.send(f"{code} why")
                    lost = (await losing).error
                    assert isinstance(lost, everwire.ConnectionClosed)
                    assert (lost.code, lost.reason) == (code, "why")
                    await ws.wait_open()

    @pytest.mark.parametrize("code", [1002, 1003, 1007, 1008, 1009, 3000, 4000, 4001, 4300])
    async def test_it_stops_after_these_codes(self, server: Server, code: int, tmp_path: Path) -> None:
        async with server(Options(folder=tmp_path)) as foreign:
            async with everwire.ReconnectingWebSocket(foreign.url("/close"), reconnect_delays=soon) as ws:
                await ws.send(f"{code} why")
                with pytest.raises(everwire.ConnectionClosedError) as raised:
                    await ws.recv()
                assert (raised.value.code, raised.value.reason) == (code, "why")

    async def test_a_server_that_is_done_ends_the_iteration(self, server: Server, tmp_path: Path) -> None:
        async with server(Options(folder=tmp_path)) as foreign:
            async with everwire.ReconnectingWebSocket(foreign.url("/close")) as ws:
                await ws.send("1000 done")
                assert [message async for message in ws] == []

    async def test_it_comes_back_to_each_new_server(self, server: Server, tmp_path: Path) -> None:
        now: list[Foreign] = []

        async def url() -> str:
            # Where there is no server now, there will be one.
            await eventually(lambda: now, 20_000 * MS)
            return now[0].url("/echo")

        ws = everwire.ReconnectingWebSocket(url, reconnect_delays=soon, open_timeout=30)
        ws.start()
        for number in range(5):
            async with server(Options(folder=tmp_path)) as foreign:
                now[:] = [foreign]
                for message in (f"text {number}", bytes([number]) * 1000):
                    # What a connection took that its server did not survive is lost: this one is new.
                    await ws.wait_open()
                    await ws.send(message)
                    assert await ws.recv() == message
                now.clear()
                losing = asyncio.ensure_future(_lost(ws))
                await asyncio.sleep(0)
            await losing
        await ws.close()

    async def test_the_loop_of_connect_comes_back_too(self, server: Server, tmp_path: Path) -> None:
        async with server(Options(folder=tmp_path)) as foreign:
            codes: list[int] = []
            async for ws in everwire.connect(foreign.url("/close"), reconnect_delays=soon):
                await ws.send("1012 restart")
                with pytest.raises(everwire.ConnectionClosedError) as raised:
                    await ws.recv()
                codes.append(raised.value.code)
                if len(codes) == 3:
                    break
            assert codes == [1012] * 3


async def _lost(ws: everwire.ReconnectingWebSocket) -> None:
    async with asyncio.timeout(20_000 * MS):
        async for status in ws.states():
            if status.state != "open":
                return


@pytest.fixture(params=PROXIES)
def proxy(request: pytest.FixtureRequest) -> Callable[..., AbstractAsyncContextManager[Proxy]]:
    """Every proxy."""
    return PROXIES[request.param]


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    service = Service()
    await service.start()
    yield service
    await service.stop()


class TestProxies:
    async def test_a_server_that_restarts_behind_it(self, proxy: Any, service: Service, tmp_path: Path) -> None:
        refusals: set[int | None] = set()

        def note(status: everwire.LinkStatus) -> None:
            if isinstance(status.error, everwire.HandshakeFailed):
                refusals.add(status.error.status)

        async with proxy(service.port, tmp_path) as front:
            async with everwire.ReconnectingWebSocket(front.url("/"), reconnect_delays=soon, on_state=note) as ws:
                for number in range(2):
                    await (await ws.send(f"before {number}"))
                    await eventually(lambda number=number: f"before {number}" in service.received)  # type: ignore[misc]
                    losing = asyncio.ensure_future(_lost(ws))
                    await asyncio.sleep(0)
                    refusals.clear()
                    await service.stop()
                    await losing
                    # Meanwhile the proxy answers for the server.
                    await eventually(lambda: refusals, 20_000 * MS)
                    await ws.send(f"meanwhile {number}")
                    await service.start()
                    await eventually(lambda number=number: f"meanwhile {number}" in service.received, 30_000 * MS)  # type: ignore[misc]
        assert refusals <= {502, 503, 504}
        assert service.received == [f"{when} {number}" for number in range(2) for when in ("before", "meanwhile")]
        assert service.most == 1

    async def test_a_proxy_that_restarts(self, proxy: Any, service: Service, tmp_path: Path) -> None:
        fronts: list[Proxy] = []

        async def url() -> str:
            await eventually(lambda: fronts, 20_000 * MS)
            return fronts[0].url("/")

        ws = everwire.ReconnectingWebSocket(url, reconnect_delays=soon, open_timeout=30)
        ws.start()
        for number in range(3):
            async with contextlib.AsyncExitStack() as stack:
                fronts[:] = [await stack.enter_async_context(proxy(service.port, tmp_path))]
                await ws.send(f"message {number}")
                await eventually(lambda number=number: f"message {number}" in service.received, 20_000 * MS)  # type: ignore[misc]
                fronts.clear()
                losing = asyncio.ensure_future(_lost(ws))
                await asyncio.sleep(0)
            await losing
        await ws.close()
        assert service.received == [f"message {number}" for number in range(3)]
