"""ReconnectingWebSocket against a server of ours that comes, goes, and says why."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
from peer.service import Service
from peer.timing import MS, eventually

import everwire
from everwire import LinkStatus, ReconnectingWebSocket, reconnect


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    service = Service()
    await service.start()
    yield service
    assert service.most <= 1, "there were two connections at once"
    await service.stop()


def soon() -> itertools.repeat[float]:
    """Delays for tests."""
    return itertools.repeat(1 * MS)


def never() -> itertools.repeat[float]:
    """Delays that nobody should wait for."""
    return itertools.repeat(1000.0)


def client(service: Service, **options: Any) -> ReconnectingWebSocket:
    return ReconnectingWebSocket(service.url, **{"reconnect_delays": soon, **options})


async def reached(ws: ReconnectingWebSocket, state: str) -> LinkStatus:
    """Wait for a state."""
    async with asyncio.timeout(5000 * MS):
        async for status in ws.states():
            if status.state == state:
                return status
    raise AssertionError(f"it never was {state}")


class TestLife:
    async def test_entering_waits_for_the_connection_and_leaving_closes_it(self, service: Service) -> None:
        async with client(service) as ws:
            assert ws.state == "open"
            assert isinstance(ws.connection, everwire.ClientConnection)
            await ws.send("hello")
            await eventually(lambda: service.received == ["hello"])
        assert (ws.state, ws.connection) == ("closed", None)
        assert service.last.close_code == 1000

    async def test_leaving_by_an_exception_says_1011(self, service: Service) -> None:
        with pytest.raises(ZeroDivisionError):
            async with client(service):
                raise ZeroDivisionError
        await eventually(lambda: service.last.close_code == 1011)

    async def test_entering_raises_what_is_final(self, service: Service) -> None:
        service.refusals = [(401, {})]
        with pytest.raises(everwire.HandshakeFailed) as raised:
            async with client(service):
                pass
        assert raised.value.status == 401

    async def test_entering_can_be_given_up(self, service: Service) -> None:
        await service.stop()
        ws = client(service, reconnect_delays=never)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(50 * MS), ws:
                pass
        assert ws.state == "closed"

    async def test_a_server_that_restarts_twenty_times(self, service: Service) -> None:
        async with client(service) as ws:
            for number in range(20):
                await (await ws.send(f"up {number}"))
                await eventually(lambda number=number: service.received[-1:] == [f"up {number}"])  # type: ignore[misc]
                await service.stop()
                await ws.send(f"down {number}")
                await service.start()
                await eventually(lambda number=number: service.received[-1] == f"down {number}")  # type: ignore[misc]
        assert service.received == [f"{when} {number}" for number in range(20) for when in ("up", "down")]

    async def test_starting_does_not_wait(self, service: Service) -> None:
        await service.stop()
        ws = client(service)
        ws.start()
        assert ws.state == "connecting"
        receipt = await ws.send("early")
        await reached(ws, "waiting")
        await service.start()
        await receipt
        await eventually(lambda: service.received == ["early"])
        await ws.close()

    async def test_a_new_one_says_how_it_is_begun(self, service: Service) -> None:
        ws = client(service)
        for attempt in (ws.send("x"), ws.recv(), ws.wait_open()):
            with pytest.raises(everwire.UsageError, match=r"start\(\) it first"):
                await attempt
        with pytest.raises(everwire.UsageError):
            ws.reconnect()
        ws.wake()
        await ws.close()
        assert ws.state == "closed"

    async def test_it_begins_once(self, service: Service) -> None:
        async with client(service) as ws:
            with pytest.raises(everwire.UsageError, match="make a new one"):
                ws.start()
        with pytest.raises(everwire.UsageError):
            ws.start()
        with pytest.raises(everwire.UsageError):
            ws.reconnect()
        ws.wake()

    def test_it_needs_a_running_loop(self) -> None:
        ws = ReconnectingWebSocket("ws://127.0.0.1:1/")
        with pytest.raises(RuntimeError):
            ws.start()
        assert ws.state == "new"

    @pytest.mark.parametrize("name", ["on_state", "on_drop"])
    def test_a_callback_that_nobody_would_await_is_refused(self, name: str) -> None:
        async def callback(*_: Any) -> None: ...

        with pytest.raises(everwire.UsageError, match=name):
            ReconnectingWebSocket("ws://127.0.0.1:1/", **{name: callback})

    def test_a_policy_that_does_not_exist_is_refused(self) -> None:
        with pytest.raises(everwire.UsageError, match="overflow"):
            ReconnectingWebSocket("ws://127.0.0.1:1/", overflow="drop")  # type: ignore[arg-type]


class TestStates:
    async def test_they_are_told_to_the_callback_and_to_watchers(self, service: Service) -> None:
        told: list[LinkStatus] = []
        ws = client(service, on_state=told.append)
        watching = asyncio.ensure_future(_all(ws))
        await asyncio.sleep(0)
        async with ws:
            (await service.connected(1)).abort()
            await service.connected(2)
            await reached(ws, "open")
        expected = ["connecting", "open", "waiting", "connecting", "open", "closing", "closed"]
        assert [status.state for status in told] == expected
        assert [status.state for status in await watching] == ["new", *expected]
        lost = told[2]
        assert lost.delay == 1 * MS
        assert isinstance(lost.error, everwire.ConnectionClosedError)
        assert told[3].error is lost.error
        assert told[4] == LinkStatus("open", 1)

    async def test_attempts_are_counted_from_each_loss(self, service: Service) -> None:
        told: list[LinkStatus] = []
        async with client(service, on_state=told.append):
            service.refusals = [(503, {}), (503, {})]
            service.last.abort()
            await service.connected(2)
        attempts = [(status.state, status.attempt) for status in told if status.state in ("connecting", "open")]
        assert attempts == [
            ("connecting", 1), ("open", 1), ("connecting", 1), ("connecting", 2), ("connecting", 3), ("open", 3),
        ]  # fmt: skip

    async def test_a_callback_that_raises_is_reported_and_harms_nobody(self, service: Service) -> None:
        problems: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))

        def fail(status: LinkStatus) -> None:
            raise ZeroDivisionError

        async with client(service, on_state=fail) as ws:
            assert ws.state == "open"
        assert problems
        assert all(isinstance(problem["exception"], ZeroDivisionError) for problem in problems)
        assert "on_state" in problems[0]["message"]


async def _all(ws: ReconnectingWebSocket) -> list[LinkStatus]:
    return [status async for status in ws.states()]


class TestReceiving:
    async def test_a_pending_recv_survives_a_loss(self, service: Service) -> None:
        async with client(service) as ws:
            receiving = asyncio.ensure_future(ws.recv())
            (await service.connected(1)).abort()
            await (await service.connected(2)).send("from the second")
            assert await receiving == "from the second"

    async def test_iteration_goes_across_connections_and_ends_at_close(self, service: Service) -> None:
        seen: list[Any] = []
        ws = client(service)
        ws.start()

        async def receive() -> None:
            async for message in ws:
                seen.append(message)

        receiving = asyncio.ensure_future(receive())
        for number in range(1, 4):
            connection = await service.connected(number)
            await connection.send(str(number))
            await eventually(lambda number=number: len(seen) == number)  # type: ignore[misc]
            connection.abort()
        await service.connected(4)
        await ws.close()
        await receiving
        assert seen == ["1", "2", "3"]

    async def test_what_came_before_a_loss_is_received_first(self, service: Service) -> None:
        async with client(service) as ws:
            first = await service.connected(1)
            for number in range(3):
                await first.send(f"old {number}")
            await (await first.ping())
            first.abort()
            second = await service.connected(2)
            await second.send("new")
            await (await second.ping())
            assert [await ws.recv() for _ in range(4)] == ["old 0", "old 1", "old 2", "new"]

    async def test_only_the_last_lost_connections_are_remembered(self, service: Service) -> None:
        service.greeting = "hello"
        async with client(service) as ws:
            for number in range(1, 21):
                connection = await service.connected(number)
                await (await connection.ping())
                connection.abort()
            await (await (await service.connected(21)).ping())
            await ws.wait_open()
            received = 0
            with contextlib.suppress(TimeoutError):
                while True:
                    async with asyncio.timeout(100 * MS):
                        assert await ws.recv() == "hello"
                    received += 1
            assert received == 9

    async def test_a_cancelled_recv_loses_nothing(self, service: Service) -> None:
        async with client(service) as ws:
            for _ in range(3):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(5 * MS):
                        await ws.recv()
            await service.last.send("here")
            assert await ws.recv() == "here"

    async def test_there_is_one_receiver(self, service: Service) -> None:
        async with client(service) as ws:
            receiving = asyncio.ensure_future(ws.recv())
            await asyncio.sleep(0)
            with pytest.raises(everwire.UsageError, match="another task receives"):
                await ws.recv()
            await service.last.send("for the first")
            assert await receiving == "for the first"

    async def test_text_and_binary_are_as_asked_for(self, service: Service) -> None:
        async with client(service) as ws:
            for message in ("a", b"b", "c", b"d"):
                await service.last.send(message)
            assert [await ws.recv(), await ws.recv()] == ["a", b"b"]
            assert [await ws.recv(decode=False), await ws.recv(decode=True)] == [b"c", "d"]


class TestSending:
    async def test_what_is_sent_while_away_arrives_in_order_and_once(self, service: Service) -> None:
        async with client(service) as ws:
            await service.stop()
            await reached(ws, "waiting")
            receipts = [await ws.send(str(number)) for number in range(100)]
            assert (ws.queued_messages, ws.queued_bytes) == (100, 190)
            await service.start()
            await asyncio.gather(*receipts)
            assert ws.queued_messages == 0
            await ws.send("behind")
            await eventually(lambda: len(service.received) == 101)
        assert service.received == [*map(str, range(100)), "behind"]

    async def test_order_holds_between_waiting_and_new_messages(self, service: Service) -> None:
        async with client(service) as ws:
            for round_ in range(1, 6):
                service.last.abort()
                await reached(ws, "waiting")
                for number in range(20):
                    await ws.send(f"{round_:02} {number:02}")
                await ws.wait_open()
                await ws.send(f"{round_:02} 99")
                # The next loss must not take what is on its way.
                await eventually(lambda round_=round_: len(service.received) == 21 * round_)  # type: ignore[misc]
        assert service.received == sorted(map(str, service.received))

    async def test_what_is_sent_is_what_it_was_at_the_call(self, service: Service) -> None:
        async with client(service) as ws:
            service.last.abort()
            await reached(ws, "waiting")
            buffer = bytearray(b"before")
            receipt = await ws.send(buffer)
            buffer[:] = b"after!"
            await receipt
            await eventually(lambda: service.received == [b"before"])

    async def test_text_as_binary_and_binary_as_text(self, service: Service) -> None:
        async with client(service) as ws:
            service.last.abort()
            await reached(ws, "waiting")
            await ws.send("é", text=False)
            await ws.send("é".encode(), text=True)
            await ws.send(memoryview(b"view"))
            await eventually(lambda: service.received == ["é".encode(), "é", b"view"])

    async def test_what_is_no_message_is_refused_at_the_call(self, service: Service) -> None:
        async with client(service) as ws:
            for wrong in (["parts"], 1, None, {"a": 1}):
                with pytest.raises(TypeError, match="must be str or bytes-like"):
                    await ws.send(wrong)  # type: ignore[arg-type]
            with pytest.raises(ValueError, match="utf-8"):
                await ws.send(b"\xff", text=True)
            service.last.abort()
            await reached(ws, "waiting")
            with pytest.raises(UnicodeEncodeError):
                await ws.send("\ud800")

    async def test_a_full_queue_refuses_by_default(self, service: Service) -> None:
        async with client(service, queue_messages=2, reconnect_delays=never) as ws:
            service.last.abort()
            await reached(ws, "waiting")
            await ws.send("a")
            await ws.send("b")
            with pytest.raises(everwire.LimitExceeded, match="queue_messages is 2"):
                await ws.send("c")
            ws.reconnect()
            await eventually(lambda: service.received == ["a", "b"])

    @pytest.mark.parametrize(("overflow", "kept"), [("oldest", ["c", "d"]), ("newest", ["a", "b"])])
    async def test_drops_are_told_to_whom_they_concern(self, service: Service, overflow: Any, kept: list[str]) -> None:
        dropped: list[Any] = []
        options = {"overflow": overflow, "queue_bytes": 2, "on_drop": lambda *what: dropped.append(what)}
        async with client(service, reconnect_delays=never, **options) as ws:
            service.last.abort()
            await reached(ws, "waiting")
            receipts = {message: await ws.send(message) for message in "abcd"}
            gone = [message for message, why in dropped if isinstance(why, everwire.LimitExceeded)]
            assert sorted([*gone, *kept]) == ["a", "b", "c", "d"]
            ws.reconnect()
            for message, receipt in receipts.items():
                if message in kept:
                    await receipt
                else:
                    with pytest.raises(everwire.LimitExceeded):
                        await receipt
            await eventually(lambda: service.received == kept)

    async def test_waiting_for_a_receipt_in_vain_withdraws_the_message(self, service: Service) -> None:
        async with client(service, reconnect_delays=never) as ws:
            service.last.abort()
            await reached(ws, "waiting")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(5 * MS):
                    await (await ws.send("stale"))
            await ws.send("fresh")
            ws.reconnect()
            await eventually(lambda: service.received == ["fresh"])

    async def test_closing_drops_what_waits_and_says_so(self, service: Service) -> None:
        dropped: list[Any] = []
        async with client(service, reconnect_delays=never, on_drop=lambda *what: dropped.append(what)) as ws:
            service.last.abort()
            await reached(ws, "waiting")
            receipt = await ws.send("too late")
        with pytest.raises(everwire.ConnectionClosedOK):
            await receipt
        assert [message for message, _ in dropped] == ["too late"]

    async def test_a_message_that_no_connection_can_take_does_not_stop_the_others(self, service: Service) -> None:
        limits = everwire.Limits(output=1000, message=1000)
        async with client(service, limits=limits, compression=None) as ws:
            with pytest.raises(everwire.LimitExceeded):
                await ws.send("x" * 2000)
            service.last.abort()
            await reached(ws, "waiting")
            receipt = await ws.send("x" * 2000)
            await (await ws.send("small"))
            with pytest.raises(everwire.LimitExceeded):
                await receipt
            await eventually(lambda: service.received == ["small"])

    async def test_sending_waits_for_a_slow_reader_and_cancelling_sends_nothing(self, service: Service) -> None:
        service.handle = _deaf  # type: ignore[method-assign]
        await service.stop()
        await service.start()
        ws = client(service, compression=None, write_limit=1000, close_timeout=50 * MS)
        ws.start()
        await ws.wait_open()
        sent = 0
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(200 * MS):
                while True:
                    await ws.send(b"x" * 100_000)
                    sent += 1
        assert sent > 0
        assert ws.queued_messages == 0
        await ws.close()


def _eager(loop: Any, coroutine: Any, *, eager_start: Any = True, **options: Any) -> asyncio.Task[Any]:
    """``asyncio.eager_task_factory``, whatever else a loop says: uvloop says ``eager_start=None``, Python 3.14 knows it."""
    return asyncio.Task(coroutine, loop=loop, eager_start=True, **options)


async def _deaf(connection: everwire.ServerConnection) -> None:
    await connection.wait_closed()


class TestDeciding:
    @pytest.mark.parametrize("code", [1001, 1011, 1012, 1013, 3008, 4100, 4200, 4400, 4500])
    async def test_it_comes_back_after_these_codes(self, service: Service, code: int) -> None:
        async with client(service) as ws:
            await service.last.close(code, "why")
            await service.connected(2)
            await ws.wait_open()

    @pytest.mark.parametrize("code", [1002, 1003, 1007, 1008, 1009, 1010, 3000, 3003, 4000, 4001, 4013, 4300])
    async def test_it_stops_after_these_codes_and_says_why(self, service: Service, code: int) -> None:
        async with client(service) as ws:
            await service.last.close(code, "why")
            for attempt in (ws.recv(), anext(aiter(ws)), ws.send("x"), ws.wait_open()):
                with pytest.raises(everwire.ConnectionClosedError) as raised:
                    await attempt
                assert (raised.value.code, raised.value.reason) == (code, "why")
            assert ws.state == "closed"
            assert isinstance(ws.status.error, everwire.ConnectionClosedError)

    async def test_a_server_that_has_said_everything_ends_the_iteration(self, service: Service) -> None:
        async with client(service) as ws:
            await service.last.send("the end")
            await service.last.close(1000)
            assert [message async for message in ws] == ["the end"]
            with pytest.raises(everwire.ConnectionClosedOK):
                await ws.recv()

    async def test_a_connection_that_the_program_closes_by_itself_is_the_end(self, service: Service) -> None:
        async with client(service) as ws:
            assert ws.connection is not None
            await ws.connection.close()
            assert [message async for message in ws] == []

    @pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
    async def test_it_comes_back_after_these_statuses(self, service: Service, status: int) -> None:
        service.refusals = [(status, {})] * 3
        async with client(service) as ws:
            assert ws.state == "open"
        assert len(service.requests) == 4

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 501])
    async def test_it_stops_after_these_statuses(self, service: Service, status: int) -> None:
        service.refusals = [(status, {})]
        with pytest.raises(everwire.HandshakeFailed):
            async with client(service):
                pass
        assert len(service.requests) == 1

    async def test_the_program_can_decide_otherwise(self, service: Service) -> None:
        def patient(error: Exception) -> Exception | None:
            if isinstance(error, everwire.HandshakeFailed) and error.status == 404:
                return None
            if isinstance(error, everwire.ConnectionClosed) and error.code == 4200:
                return PermissionError("gone for good")
            return reconnect.process_exception(error)

        service.refusals = [(404, {}), (404, {})]
        async with client(service, process_exception=patient) as ws:
            await service.last.close(4200)
            with pytest.raises(PermissionError) as raised:
                await ws.recv()
            assert isinstance(raised.value.__cause__, everwire.ConnectionClosedError)

    async def test_an_exception_that_the_decision_raises_is_the_end(self, service: Service) -> None:
        def wrong(error: Exception) -> Exception | None:
            raise KeyError("wrong") from error

        async with client(service, process_exception=wrong) as ws:
            service.last.abort()
            with pytest.raises(KeyError):
                await ws.recv()

    async def test_retry_after_is_waited_for(self, service: Service) -> None:
        service.refusals = [(503, {"Retry-After": "7"}), (429, {"Retry-After": "100000"})]
        ws = client(service, reconnect_delays=lambda: itertools.repeat(0.5))
        ws.start()
        assert (await reached(ws, "waiting")).delay == 7.5
        ws.wake()
        await eventually(lambda: ws.status.delay == 300.5)
        await ws.close()

    async def test_where_the_delays_end_it_ends(self, service: Service) -> None:
        service.refusals = [(503, {})] * 3
        with pytest.raises(everwire.HandshakeFailed):
            async with client(service, reconnect_delays=lambda: iter([0.0, 0.0])):
                pass
        assert len(service.requests) == 3

    async def test_4200_comes_back_at_once_but_not_again_and_again(self, service: Service) -> None:
        told: list[LinkStatus] = []
        delays = lambda: itertools.repeat(3 * MS)  # noqa: E731
        async with client(service, reconnect_delays=delays, on_state=told.append):
            for number in range(1, 4):
                await (await service.connected(number)).close(4200)
            await service.connected(4)
        assert [status.delay for status in told if status.state == "waiting"] == [0, 3 * MS, 3 * MS]

    async def test_a_short_life_does_not_reset_the_delays(self, service: Service) -> None:
        told: list[LinkStatus] = []
        delays = lambda: (number * MS for number in itertools.count(1))  # noqa: E731
        async with client(service, reconnect_delays=delays, on_state=told.append):
            for number in range(1, 5):
                (await service.connected(number)).abort()
            await service.connected(5)
        assert [status.delay for status in told if status.delay] == [1 * MS, 2 * MS, 3 * MS, 4 * MS]


class TestAsking:
    async def test_headers_and_tokens_are_asked_for_anew(self, service: Service) -> None:
        numbers = itertools.count()

        async def token() -> str:
            await asyncio.sleep(0)
            return f"token{next(numbers)}"

        options = {"token": token, "additional_headers": lambda: {"X-Session": str(next(numbers))}}
        async with client(service, **options):
            service.last.abort()
            await service.connected(2)
        sent = [(request.headers["X-Session"], request.headers["Authorization"]) for request in service.requests]
        assert sent == [("0", "Bearer token1"), ("2", "Bearer token3")]

    async def test_4300_comes_back_at_once_with_a_new_token(self, service: Service) -> None:
        tokens = iter(["old", "new"])
        async with client(service, token=lambda: next(tokens), reconnect_delays=never):
            await service.last.close(4300)
            await service.connected(2)
        assert [request.headers["Authorization"] for request in service.requests] == ["Bearer old", "Bearer new"]

    async def test_the_address_is_asked_for_anew(self, service: Service) -> None:
        paths = itertools.count()
        ws = ReconnectingWebSocket(lambda: f"{service.url}{next(paths)}", reconnect_delays=soon)
        async with ws:
            service.last.abort()
            await service.connected(2)
        assert [request.path for request in service.requests] == ["/0", "/1"]

    async def test_a_token_service_that_is_down_is_tried_again(self, service: Service) -> None:
        answers: list[Any] = [OSError("no token"), TimeoutError(), "token"]

        def token() -> str:
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return str(answer)

        async with client(service, token=token) as ws:
            assert ws.state == "open"

    async def test_a_defect_in_what_is_asked_is_final(self, service: Service) -> None:
        def token() -> str:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            async with client(service, token=token):
                pass

    async def test_an_answer_that_does_not_come_ends_with_the_attempt(self, service: Service) -> None:
        asked: list[int] = []

        async def token() -> str:
            asked.append(1)
            if len(asked) == 1:
                await asyncio.Event().wait()
            return "token"

        told: list[LinkStatus] = []
        async with client(service, token=token, open_timeout=50 * MS, on_state=told.append):
            pass
        assert isinstance(told[1].error, TimeoutError)
        assert "open_timeout" in str(told[1].error)

    async def test_an_attempt_that_cancels_itself_is_final(self, service: Service) -> None:
        async def token() -> str:
            raise asyncio.CancelledError

        with pytest.raises(everwire.UsageError, match="cancelled from within"):
            async with client(service, token=token):
                pass


class TestOnOpen:
    async def test_it_runs_before_anything_that_waits(self, service: Service) -> None:
        async def subscribe(connection: everwire.ClientConnection) -> None:
            await connection.send("subscribe")
            await (await connection.ping())

        async with client(service, on_open=subscribe) as ws:
            service.last.abort()
            await reached(ws, "waiting")
            await ws.send("waited")
            await eventually(lambda: service.received == ["subscribe", "subscribe", "waited"])

    async def test_it_receives_the_answers_to_what_it_says(self, service: Service) -> None:
        service.greeting = "who are you"
        heard: list[Any] = []

        async def introduce(connection: everwire.ClientConnection) -> None:
            heard.append(await connection.recv())
            await connection.send("me")

        async with client(service, on_open=introduce) as ws:
            await service.last.send("welcome")
            assert await ws.recv() == "welcome"
        assert heard == ["who are you"]

    async def test_a_plain_function_will_do(self, service: Service) -> None:
        async with client(service, on_open=lambda connection: connection.send_nowait("hello")):
            await eventually(lambda: service.received == ["hello"])

    async def test_a_connection_that_ends_meanwhile_is_judged_by_its_end(self, service: Service) -> None:
        service.greeting = "who are you"

        async def introduce(connection: everwire.ClientConnection) -> None:
            await connection.recv()
            await connection.recv()

        ws = client(service, on_open=introduce)
        ws.start()
        (await service.connected(1)).abort()
        await (await service.connected(2)).close(4001, "not you")
        with pytest.raises(everwire.ConnectionClosedError, match="4001"):
            await ws.recv()

    async def test_what_it_raises_is_final_and_the_server_learns_of_it(self, service: Service) -> None:
        def fail(connection: everwire.ClientConnection) -> None:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            async with client(service, on_open=fail):
                pass
        assert service.last.close_code == 1011

    async def test_it_has_to_be_done_within_the_attempts_time(self, service: Service) -> None:
        calls: list[int] = []

        async def slow(connection: everwire.ClientConnection) -> None:
            calls.append(1)
            if len(calls) < 3:
                await asyncio.Event().wait()

        async with client(service, on_open=slow, open_timeout=50 * MS) as ws:
            assert ws.state == "open"
        assert len(service.connections) == 3


class TestCommands:
    async def test_reconnecting_ends_a_wait_at_once(self, service: Service) -> None:
        async with client(service, reconnect_delays=never) as ws:
            for command in (ws.reconnect, ws.wake):
                count = len(service.connections)
                service.last.abort()
                await reached(ws, "waiting")
                command()
                await service.connected(count + 1)
                await ws.wait_open()

    async def test_reconnecting_replaces_an_open_connection(self, service: Service) -> None:
        async with client(service, reconnect_delays=never) as ws:
            before = ws.connection
            receiving = asyncio.ensure_future(ws.recv())
            ws.reconnect()
            assert ws.state != "open"
            await ws.send("to the new one")
            await ws.wait_open()
            assert ws.connection is not before
            await (await service.connected(2)).send("still there")
            assert await receiving == "still there"
            assert service.connections[0].close_code == 1000
            await eventually(lambda: service.received == ["to the new one"])

    async def test_waking_leaves_an_open_connection_alone(self, service: Service) -> None:
        async with client(service) as ws:
            before = ws.connection
            ws.wake()
            await asyncio.sleep(5 * MS)
            assert ws.connection is before

    async def test_reconnecting_again_and_again_leaves_one_connection(self, service: Service) -> None:
        async with client(service) as ws:
            for _ in range(50):
                ws.reconnect()
                await asyncio.sleep(0)
            await ws.wait_open()
            await ws.send("here")
            await eventually(lambda: service.received == ["here"])

    async def test_reconnecting_begins_a_stuck_attempt_anew(self, service: Service) -> None:
        asked: list[int] = []

        async def token() -> str:
            asked.append(1)
            if len(asked) == 1:
                await asyncio.Event().wait()
            return "token"

        ws = client(service, token=token)
        ws.start()
        await eventually(lambda: asked)
        ws.wake()
        await ws.wait_open()
        await ws.close()

    async def test_closing_says_code_and_reason(self, service: Service) -> None:
        async with client(service) as ws:
            await ws.close(4321, "enough")
        await eventually(lambda: service.last.close_code == 4321)
        assert service.last.close_reason == "enough"
        with pytest.raises(everwire.ConnectionClosedOK, match="4321"):
            await ws.send("x")

    @pytest.mark.parametrize(
        ("code", "reason"), [(999, ""), (1005, ""), (1006, ""), (1015, ""), (2999, ""), (1000, "x" * 124)]
    )
    async def test_closing_with_what_cannot_be_said_closes_nothing(
        self, service: Service, code: int, reason: str
    ) -> None:
        async with client(service) as ws:
            with pytest.raises(everwire.UsageError):
                await ws.close(code, reason)
            assert ws.state == "open"

    async def test_closing_twice_is_closing_once(self, service: Service) -> None:
        async with client(service) as ws:
            await asyncio.gather(ws.close(4000), ws.close(4001))
            await ws.close(4002)
        assert service.last.close_code == 4000

    async def test_cancelling_the_close_does_not_undo_it(self, service: Service) -> None:
        async with client(service) as ws:
            closing = asyncio.ensure_future(ws.close())
            await asyncio.sleep(0)
            closing.cancel()
            await reached(ws, "closed")

    async def test_closing_from_within_on_open(self, service: Service) -> None:
        async def close(connection: everwire.ClientConnection) -> None:
            await ws.close(4003)

        ws = client(service, on_open=close)
        ws.start()
        await reached(ws, "closed")
        assert service.last.close_code == 4003

    async def test_the_end_of_the_loop_is_the_end(self, service: Service) -> None:
        ws = client(service)
        ws.start()
        await ws.wait_open()
        task = ws._supervisor._task
        assert task is not None
        task.cancel()
        await asyncio.wait([task])
        assert ws.state == "closed"
        with pytest.raises(everwire.ConnectionClosedError):
            await ws.recv()
        await eventually(lambda: service.last.close_code == 1006)

    async def test_reconnecting_from_within_a_callback(self, service: Service) -> None:
        def impatient(status: LinkStatus) -> None:
            if status.state == "waiting":
                ws.reconnect()

        ws = client(service, on_state=impatient, reconnect_delays=never)
        async with ws:
            service.last.abort()
            await service.connected(2)
            await reached(ws, "open")

    @pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks are new in Python 3.12")
    async def test_reconnecting_before_the_first_await_of_an_eager_task(self, service: Service) -> None:
        asyncio.get_running_loop().set_task_factory(_eager)
        asked: list[int] = []

        async def token() -> str:
            asked.append(1)
            if len(asked) == 1:
                ws.reconnect()
                await asyncio.Event().wait()
            return "token"

        ws = client(service, token=token)
        async with asyncio.timeout(5000 * MS), ws:
            assert ws.state == "open"
        assert len(asked) == 2

    @pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks are new in Python 3.12")
    async def test_all_of_it_with_eager_tasks(self, service: Service) -> None:
        asyncio.get_running_loop().set_task_factory(_eager)
        async with client(service) as ws:
            receiving = asyncio.ensure_future(ws.recv())
            for number in range(2, 5):
                service.last.abort()
                await service.connected(number)
                await ws.wait_open()
            await (await ws.send("here"))
            await service.last.send("there")
            assert await receiving == "there"
            await eventually(lambda: service.received == ["here"])
