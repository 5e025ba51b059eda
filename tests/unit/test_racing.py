"""Racing addresses, with attempts and resolvers that are made up."""

from __future__ import annotations

import asyncio
import errno
import functools
import os
import socket
from typing import Any

import pytest
from peer.timing import MS

from everwire.client.racing import dial, interleaved, race

V4, V6 = socket.AF_INET, socket.AF_INET6


class Sock:
    """What an attempt results in."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True


class Course:
    """Attempts that end when told to, and what became of them."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.cancelled: list[str] = []
        self.ends: dict[str, asyncio.Future[Sock]] = {}
        self._changed = asyncio.Event()

    async def attempt(self, name: str) -> Any:
        self.begun.append(name)
        self.ends[name] = asyncio.get_running_loop().create_future()
        self._changed.set()
        try:
            return await self.ends[name]
        except asyncio.CancelledError:
            # Closing what was begun may take a while.
            for _ in range(5):
                await asyncio.sleep(0)
            self.cancelled.append(name)
            raise

    def attempts(self, *names: str) -> list[Any]:
        return [functools.partial(self.attempt, name) for name in names]

    async def has_begun(self, *names: str) -> None:
        while self.begun != list(names):
            self._changed.clear()
            await self._changed.wait()


class TestInterleaved:
    """RFC 8305 §4."""

    def test_families_take_turns_and_the_first_stays_first(self) -> None:
        found = [(V6, "a"), (V6, "b"), (V6, "c"), (V4, "d"), (V4, "e")]
        assert interleaved(found) == [(V6, "a"), (V4, "d"), (V6, "b"), (V4, "e"), (V6, "c")]
        assert interleaved(found[::-1])[0] == (V4, "e")

    def test_one_family_keeps_its_order(self) -> None:
        assert interleaved([(V4, "a"), (V4, "b")]) == [(V4, "a"), (V4, "b")]

    def test_an_address_that_is_found_twice_is_tried_once(self) -> None:
        assert interleaved([(V4, "a"), (V4, "a"), (V6, "b"), (V4, "a")]) == [(V4, "a"), (V6, "b")]

    def test_nothing_found(self) -> None:
        assert interleaved([]) == []


class TestRace:
    """RFC 8305 §5."""

    async def test_the_next_waits_for_its_delay(self) -> None:
        course, loop = Course(), asyncio.get_running_loop()
        began = loop.time()
        racing = asyncio.ensure_future(race(course.attempts("a", "b"), 50 * MS))
        await course.has_begun("a")
        await course.has_begun("a", "b")
        assert loop.time() - began >= 49 * MS
        course.ends["a"].set_result(Sock("a"))
        assert (await racing).name == "a"  # type: ignore[attr-defined]

    async def test_a_quick_winner_leaves_the_others_unbegun(self) -> None:
        course = Course()
        racing = asyncio.ensure_future(race(course.attempts("a", "b"), 5000 * MS))
        await course.has_begun("a")
        course.ends["a"].set_result(Sock("a"))
        await racing
        assert (course.begun, course.cancelled) == (["a"], [])

    async def test_a_failure_begins_the_next_at_once(self) -> None:
        course = Course()
        racing = asyncio.ensure_future(race(course.attempts("a", "b"), 3_600_000 * MS))
        await course.has_begun("a")
        course.ends["a"].set_exception(OSError("no"))
        await course.has_begun("a", "b")
        course.ends["b"].set_result(Sock("b"))
        assert (await racing).name == "b"  # type: ignore[attr-defined]

    async def test_losers_are_cancelled_and_have_ended(self) -> None:
        course = Course()
        racing = asyncio.ensure_future(race(course.attempts("a", "b", "c"), 1 * MS))
        await course.has_begun("a", "b", "c")
        course.ends["b"].set_result(Sock("b"))
        assert (await racing).name == "b"  # type: ignore[attr-defined]
        assert course.cancelled == ["a", "c"]

    async def test_the_socket_of_a_loser_that_arrived_together_with_the_winner_is_closed(self) -> None:
        course, first, second = Course(), Sock("a"), Sock("b")
        racing = asyncio.ensure_future(race(course.attempts("a", "b"), 1 * MS))
        await course.has_begun("a", "b")
        course.ends["b"].set_result(second)
        course.ends["a"].set_result(first)
        winner = await racing
        assert winner is first  # type: ignore[comparison-overlap]
        assert (first.is_closed, second.is_closed) == (False, True)

    async def test_all_errors_are_told_in_the_order_in_which_they_came(self) -> None:
        course = Course()
        racing = asyncio.ensure_future(race(course.attempts("a", "b"), 1 * MS))
        await course.has_begun("a", "b")
        course.ends["b"].set_exception(OSError("b"))
        for _ in range(5):
            await asyncio.sleep(0)
        course.ends["a"].set_exception(OSError("a"))
        with pytest.raises(ExceptionGroup) as raised:
            await racing
        assert [str(error) for error in raised.value.exceptions] == ["b", "a"]

    async def test_without_a_delay_they_go_one_after_another(self) -> None:
        course = Course()
        racing = asyncio.ensure_future(race(course.attempts("a", "b"), None))
        await course.has_begun("a")
        for _ in range(10):
            await asyncio.sleep(0)
        assert course.begun == ["a"]
        course.ends["a"].set_exception(OSError("no"))
        await course.has_begun("a", "b")
        course.ends["b"].set_result(Sock("b"))
        await racing

    async def test_cancelling_ends_every_attempt_and_closes_what_had_arrived(self) -> None:
        course, sock = Course(), Sock("a")
        racing = asyncio.ensure_future(race(course.attempts("a", "b"), 1 * MS))
        await course.has_begun("a", "b")
        course.ends["a"].set_result(sock)
        racing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await racing
        assert (sock.is_closed, "b" in course.cancelled) == (True, True)

    async def test_a_defect_is_no_failed_attempt(self) -> None:
        course = Course()
        racing = asyncio.ensure_future(race(course.attempts("a", "b"), 1 * MS))
        await course.has_begun("a", "b")
        course.ends["a"].set_exception(ZeroDivisionError())
        with pytest.raises(ZeroDivisionError):
            await racing
        assert course.cancelled == ["b"]


class TestDial:
    """Looking up, and what is said about failures."""

    @pytest.fixture
    async def names(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Any]]:
        """What names lead to."""
        known: dict[str, list[Any]] = {}

        async def look_up(host: Any, port: Any, *, family: int = 0, **_: Any) -> list[Any]:
            if host not in known:
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            return [
                (kind, socket.SOCK_STREAM, 6, "", (address, port, 0, 0) if kind == V6 else (address, port))
                for kind, address in known[host]
                if family in (socket.AF_UNSPEC, kind)
            ]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up)
        return known

    @pytest.fixture
    async def tried(self, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
        """The addresses that are tried, all of which refuse."""
        tried: list[Any] = []

        async def connect(sock: socket.socket, address: Any) -> None:
            tried.append(address[0])
            number = errno.ENETUNREACH if address[0].startswith("far") else errno.ECONNREFUSED
            raise OSError(number, "refused")

        monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", connect)
        return tried

    async def test_every_address_is_tried_with_families_in_turn(self, names: Any, tried: Any) -> None:
        names["server"] = [(V6, "a6"), (V6, "b6"), (V4, "a4")]
        with pytest.raises(OSError, match="server:80"):
            await dial("server", 80)
        assert tried == ["a6", "a4", "b6"]

    async def test_one_family_alone(self, names: Any, tried: Any) -> None:
        names["server"] = [(V6, "a6"), (V4, "a4")]
        with pytest.raises(ConnectionRefusedError):
            await dial("server", 80, family=V4)
        assert tried == ["a4"]

    async def test_the_error_tells_every_attempt_and_has_the_number_that_they_share(
        self, names: Any, tried: Any
    ) -> None:
        names["server"] = [(V6, "a6"), (V4, "a4")]
        with pytest.raises(ConnectionRefusedError) as raised:
            await dial("server", 80)
        text = "cannot connect to server:80: a6: Connection refused; a4: Connection refused"
        assert raised.value.strerror == text
        assert isinstance(raised.value.__cause__, ExceptionGroup)

    async def test_different_errors_have_no_number(self, names: Any, tried: Any) -> None:
        names["server"] = [(V6, "far6"), (V4, "a4")]
        with pytest.raises(OSError, match="far6: Network is unreachable; a4: Connection refused") as raised:
            await dial("server", 80)
        assert (type(raised.value), raised.value.errno) == (OSError, None)

    async def test_a_name_that_is_not_known_is_named(self, names: Any) -> None:
        with pytest.raises(socket.gaierror, match="cannot look up nowhere: Name or service not known"):
            await dial("nowhere", 80)

    @pytest.mark.parametrize("name", ["a..b", "a" * 64])
    async def test_what_can_be_no_name_is_one_that_is_not_known(self, name: str) -> None:
        with pytest.raises(socket.gaierror, match="cannot look up"):
            await dial(name, 80)

    @pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1"])
    async def test_an_address_needs_no_look_up(self, names: Any, tried: Any, address: str) -> None:
        with pytest.raises(ConnectionRefusedError):
            await dial(address, 80)
        assert tried == [address]

    async def test_an_address_of_another_family_is_not_known(self, names: Any, tried: Any) -> None:
        with pytest.raises(socket.gaierror, match="cannot look up"):
            await dial("192.0.2.1", 80, family=V6)
        assert tried == []

    async def test_our_own_name_without_an_address_of_the_family(self, names: Any, tried: Any) -> None:
        names |= {"server": [(V6, "a6")], "us": [(V4, "127.0.0.1")]}
        with pytest.raises(OSError, match="a6: local_addr has no address of this family"):
            await dial("server", 80, local_addr=("us", 0))
        assert tried == []

    async def test_sockets_of_failed_attempts_are_closed(self, names: Any, tried: Any) -> None:
        names |= {"server": [(V6, "a6"), (V4, "a4"), (V4, "b4")]}
        before = os.listdir("/proc/self/fd")
        with pytest.raises(ConnectionRefusedError):
            await dial("server", 80)
        assert os.listdir("/proc/self/fd") == before
