"""Sockets for the addresses of a name, on machines that do not have all families."""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import Any

import pytest

import everwire
from everwire.server.sockets import bind

V4 = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))
V6 = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 0, 0, 0))
ABSENT = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0))
"""An address that no machine has (RFC 5737)."""


@pytest.fixture
def leads_to(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Says where every name leads."""

    def set_to(*infos: Any) -> None:
        async def getaddrinfo(self: Any, host: str, port: int, **options: Any) -> list[Any]:
            return list(infos)

        monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", getaddrinfo)

    return set_to


class Socket(socket.socket):
    """One of a machine without IPv6; the errors are those of Linux."""

    number = errno.EADDRNOTAVAIL

    def __init__(self, family: int = -1, *more: Any, **named: Any) -> None:
        if family == socket.AF_INET6 and self.number == errno.EAFNOSUPPORT:
            raise OSError(self.number, "Address family not supported by protocol")
        super().__init__(family, *more, **named)

    def bind(self, address: Any) -> None:
        if self.family == socket.AF_INET6:
            raise OSError(self.number, "Cannot assign requested address")
        super().bind(address)


@pytest.fixture(params=[errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT], ids=["switched off", "not built in"])
def without_ipv6(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has only IPv4."""
    monkeypatch.setattr(Socket, "number", request.param)
    monkeypatch.setattr("everwire.server.sockets.socket.socket", Socket)


def hosts(sockets: list[socket.socket]) -> list[str]:
    found = [made.getsockname()[0] for made in sockets]
    for made in sockets:
        made.close()
    return found


@pytest.mark.usefixtures("without_ipv6")
class TestWithoutIPv6:
    @pytest.mark.parametrize("infos", [[V6, V4], [V4, V6]])
    async def test_a_name_that_leads_to_both_is_served_on_what_there_is(self, leads_to: Any, infos: list[Any]) -> None:
        leads_to(*infos)
        assert hosts(await bind("localhost", 0, None)) == ["127.0.0.1"]

    async def test_one_that_leads_to_nothing_else_is_told(self, leads_to: Any) -> None:
        leads_to(V6)
        with pytest.raises(OSError, match="cannot listen on ::1"):
            await bind("localhost", 0, None)

    async def test_an_address_that_was_asked_for_is_told(self) -> None:
        with pytest.raises(OSError, match="cannot listen on ::1"):
            await bind(["127.0.0.1", "::1"], 0, None)

    async def test_the_default_is_what_there_is_of_loopback(self) -> None:
        assert hosts(await bind(None, 0, None)) == ["127.0.0.1"]

    async def test_a_server_runs(self, leads_to: Any) -> None:
        leads_to(V6, V4)

        async def handler(connection: everwire.ServerConnection) -> None:
            await connection.wait_closed()

        async with everwire.serve(handler, "localhost", 0) as server:
            (listening,) = server.sockets
            async with everwire.connect(f"ws://127.0.0.1:{listening.getsockname()[1]}/"):
                pass


async def test_an_address_that_the_machine_does_not_have_is_told_though_others_can_be_bound(leads_to: Any) -> None:
    leads_to(V4, ABSENT)
    with pytest.raises(OSError, match=r"cannot listen on 192\.0\.2\.1") as raised:
        await bind("server.test", 0, None)
    assert raised.value.errno == errno.EADDRNOTAVAIL


async def test_a_port_that_is_taken_is_told(leads_to: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        leads_to((*V4[:4], taken.getsockname()))
        with pytest.raises(OSError, match="cannot listen on"):
            await bind("localhost", taken.getsockname()[1], None)
