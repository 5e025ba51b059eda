"""Messages of a ReconnectingWebSocket, both ways, across connections."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from peer.service import Service, client, never, reached
from peer.timing import MS, eventually

import everwire


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

    async def test_a_message_larger_than_the_output_limit_goes_as_well(self, service: Service) -> None:
        limits = everwire.Limits(output=1000, message=1000)
        async with client(service, limits=limits, compression=None) as ws:
            await ws.send("x" * 2000)
            await eventually(lambda: service.received == ["x" * 2000])
            service.last.abort()
            await reached(ws, "waiting")
            await (await ws.send("y" * 2000))
            await (await ws.send("small"))
            await eventually(lambda: service.received == ["x" * 2000, "y" * 2000, "small"])

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

    async def test_senders_that_wait_for_a_slow_reader_keep_their_place_when_the_connection_is_lost(
        self, service: Service
    ) -> None:
        listen = service.handle
        service.handle = _deaf  # type: ignore[method-assign]
        await service.stop()
        await service.start()
        options = {"compression": None, "write_limit": 1000, "queue_messages": 1000, "queue_bytes": 2**26}
        ws = client(service, **options, close_timeout=50 * MS)
        ws.start()
        await ws.wait_open()
        sending = [asyncio.ensure_future(ws.send(f"{number:03}" + "x" * 100_000)) for number in range(150)]
        await asyncio.sleep(50 * MS)
        assert not sending[-1].done()
        assert ws.connection is not None
        ws.connection.abort()
        # While those are being told, others come, at every step.
        for number in range(150, 200):
            sending.append(asyncio.ensure_future(ws.send(f"{number:03}")))
            await asyncio.sleep(0)
        service.handle = listen  # type: ignore[method-assign]
        await service.stop()
        await service.start()
        for receipt in await asyncio.gather(*sending):
            await receipt
        await eventually(lambda: service.received[-1:] == ["199"])
        numbers = [int(message[:3]) for message in service.received]
        assert len(numbers) > 60
        assert numbers == sorted(set(numbers))
        await ws.close()


async def _deaf(connection: everwire.ServerConnection) -> None:
    connection.pause()
    await connection.wait_closed()
