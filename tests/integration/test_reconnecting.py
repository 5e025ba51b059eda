"""ReconnectingWebSocket against a server of ours that comes, goes, and says why."""

from __future__ import annotations

import asyncio
import itertools
import sys
from typing import Any

import pytest
from peer.client import RawClient
from peer.frames import TEXT
from peer.http import Head
from peer.server import RawServer, answer
from peer.service import Service, client, never, reached, soon
from peer.timing import MS, eventually

import everwire
from everwire import LinkStatus, ReconnectingWebSocket, reconnect


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

    async def test_waiting_for_the_end(self, service: Service) -> None:
        async with client(service) as ws:
            waiting = asyncio.ensure_future(ws.wait_closed())
            await service.last.close(4001)
            await waiting
            assert isinstance(ws.status.error, everwire.ConnectionClosedError)

    async def test_it_belongs_to_its_event_loop(self, service: Service) -> None:
        async with client(service) as ws:

            async def elsewhere() -> None:
                for attempt in (ws.send("x"), ws.recv(), ws.wait_open(), ws.close()):
                    with pytest.raises(everwire.UsageError, match="call_soon_threadsafe"):
                        await attempt

            await asyncio.to_thread(lambda: asyncio.run(elsewhere()))
            for command in (ws.wake, ws.reconnect):
                with pytest.raises(everwire.UsageError, match="call_soon_threadsafe"):
                    await asyncio.to_thread(command)
            await asyncio.to_thread(asyncio.get_running_loop().call_soon_threadsafe, ws.reconnect)
            await service.connected(2)

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
        async with client(service, on_state=told.append) as ws:
            service.refusals = [(503, {}), (503, {})]
            service.last.abort()
            await service.connected(2)
            await ws.wait_open()
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

    async def test_a_message_beyond_the_limit_ends_it_and_names_the_limit(self, service: Service) -> None:
        # It would come again, and again be beyond the limit.
        async with client(service, max_size=100) as ws:
            await service.last.send("x" * 1000)
            with pytest.raises(everwire.ConnectionClosedError) as raised:
                await ws.recv()
            assert raised.value.sent is not None
            assert raised.value.sent.code == 1009
            assert isinstance(raised.value.__cause__, everwire.LimitExceeded)
        assert len(service.requests) == 1

    async def test_a_server_that_breaks_the_protocol_ends_it(self) -> None:
        async def behave(peer: RawClient, head: Head) -> None:
            peer.write(answer(head))
            peer.send(TEXT, b"masked, as a server must not")
            await peer.reader.read()

        async with RawServer(behave) as server:
            async with ReconnectingWebSocket(server.url, reconnect_delays=soon) as ws:
                with pytest.raises(everwire.ConnectionClosedError) as raised:
                    await ws.recv()
                assert raised.value.sent is not None
                assert raised.value.sent.code == 1002
                assert isinstance(raised.value.__cause__, everwire.ProtocolError)

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

    async def test_4300_comes_back_if_on_open_brings_the_token(self, service: Service) -> None:
        async with client(service, on_open=lambda connection: None, reconnect_delays=never):
            await service.last.close(4300)
            await service.connected(2)

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

        async with client(service, on_open=slow, open_timeout=300 * MS) as ws:
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
            await eventually(lambda: before is not None and before.latency > 0)
            assert ws.connection is before

    async def test_waking_and_closing_leaves_no_probe_behind(self, service: Service) -> None:
        for _ in range(20):
            async with client(service) as ws:
                ws.wake()
        await eventually(lambda: "_ping" not in str(asyncio.all_tasks()))

    async def test_it_comes_back_after_the_program_aborts_a_connection(self, service: Service) -> None:
        async with client(service) as ws:
            assert ws.connection is not None
            ws.connection.abort()
            await service.connected(2)

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


def _eager(loop: Any, coroutine: Any, *, eager_start: Any = True, **options: Any) -> asyncio.Task[Any]:
    """``asyncio.eager_task_factory``, whatever else a loop says: uvloop says ``eager_start=None``, Python 3.14 knows it."""
    return asyncio.Task(coroutine, loop=loop, eager_start=True, **options)
