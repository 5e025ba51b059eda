"""What waits for a connection: order, bounds, policies, receipts."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from everwire import LimitExceeded
from everwire.reconnect.backlog import Backlog, Overflow

Dropped = list[tuple[str | bytes, Exception]]


def made(count: int = 3, size: int = 100, overflow: Overflow = "refuse") -> tuple[Backlog, Dropped]:
    dropped: Dropped = []
    return Backlog(count, size, overflow, lambda message, why: dropped.append((message, why))), dropped


def put(backlog: Backlog, message: str | bytes) -> asyncio.Future[None]:
    receipt: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    backlog.put(message, receipt)
    return receipt


def sent(backlog: Backlog) -> list[str | bytes]:
    """Everything, in the order in which it is sent."""
    messages = []
    while (entry := backlog.first()) is not None:
        messages.append(entry.message)
        backlog.sent(entry)
    return messages


async def test_messages_leave_in_the_order_in_which_they_came() -> None:
    backlog, dropped = made()
    receipts = [put(backlog, message) for message in ("a", b"bb", "é")]
    assert (len(backlog), backlog.size) == (3, 5)
    assert sent(backlog) == ["a", b"bb", "é"]
    assert (len(backlog), backlog.size) == (0, 0)
    assert all(receipt.done() and receipt.exception() is None for receipt in receipts)
    assert not dropped


@pytest.mark.parametrize(("count", "size"), [(2, 100), (100, 2)], ids=["by count", "by bytes"])
class TestFull:
    async def test_refuse_raises_and_keeps_what_waits(self, count: int, size: int) -> None:
        backlog, dropped = made(count, size)
        put(backlog, "a"), put(backlog, "b")
        with pytest.raises(LimitExceeded, match=r"queue_messages is .*, queue_bytes is"):
            put(backlog, "c")
        assert sent(backlog) == ["a", "b"]
        assert not dropped

    async def test_newest_drops_the_new_one_and_says_so(self, count: int, size: int) -> None:
        backlog, dropped = made(count, size, "newest")
        put(backlog, "a"), put(backlog, "b")
        receipt = put(backlog, "c")
        with pytest.raises(LimitExceeded):
            await receipt
        assert [message for message, _ in dropped] == ["c"]
        assert sent(backlog) == ["a", "b"]

    async def test_oldest_drops_the_oldest_and_says_so(self, count: int, size: int) -> None:
        backlog, dropped = made(count, size, "oldest")
        first, _ = put(backlog, "a"), put(backlog, "b")
        last = put(backlog, "c")
        with pytest.raises(LimitExceeded):
            await first
        assert [message for message, _ in dropped] == ["a"]
        assert isinstance(dropped[0][1], LimitExceeded)
        assert sent(backlog) == ["b", "c"]
        assert last.done()


async def test_oldest_makes_as_much_room_as_is_needed() -> None:
    backlog, dropped = made(10, 10, "oldest")
    for message in ("aaa", "bbb", "ccc"):
        put(backlog, message)
    put(backlog, "dddddd")
    assert [message for message, _ in dropped] == ["aaa", "bbb"]
    assert (sent(backlog), backlog.size) == (["ccc", "dddddd"], 0)


@pytest.mark.parametrize("overflow", ["oldest", "newest", "refuse"])
async def test_what_can_never_wait_is_refused_and_drops_nothing(overflow: Overflow) -> None:
    backlog, dropped = made(3, 4, overflow)
    put(backlog, "a")
    with pytest.raises(LimitExceeded):
        put(backlog, "12345")
    assert (sent(backlog), dropped) == (["a"], [])
    nothing, _ = made(0, 4, overflow)
    with pytest.raises(LimitExceeded):
        put(nothing, "a")


async def test_a_cancelled_receipt_withdraws_its_message() -> None:
    backlog, dropped = made()
    receipts = [put(backlog, message) for message in "abc"]
    receipts[1].cancel()
    receipts[0].cancel()
    assert sent(backlog) == ["c"]
    await asyncio.sleep(0)
    assert (len(backlog), backlog.size, dropped) == (0, 0, [])


@pytest.mark.parametrize("overflow", ["oldest", "newest", "refuse"])
async def test_what_was_withdrawn_takes_no_room(overflow: Overflow) -> None:
    backlog, dropped = made(2, 100, overflow)
    receipts = [put(backlog, message) for message in "ab"]
    receipts[1].cancel()
    put(backlog, "c")  # before any callback had a chance to run
    assert (sent(backlog), dropped) == (["a", "c"], [])


async def test_withdrawn_messages_do_not_pile_up() -> None:
    backlog, _ = made(5, 100)
    put(backlog, "a")
    for _ in range(1000):
        put(backlog, "b").cancel()
        await asyncio.sleep(0)
        assert len(backlog) == 1


async def test_at_the_end_everything_fails_with_the_reason() -> None:
    backlog, dropped = made()
    receipts = [put(backlog, message) for message in "ab"]
    receipts[0].cancel()
    why = OSError("gone")
    backlog.fail(why)
    assert receipts[1].exception() is why
    assert (dropped, len(backlog), backlog.size) == ([("b", why)], 0, 0)


async def test_a_dropped_message_needs_no_listener() -> None:
    problems: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
    backlog, _ = made(1, 100, "oldest")
    put(backlog, "a"), put(backlog, "b")
    await asyncio.sleep(0)
    assert not problems


@pytest.mark.parametrize("overflow", ["oldest", "newest", "refuse"])
@pytest.mark.parametrize("seed", range(5))
async def test_every_message_is_accounted_for_once(overflow: Overflow, seed: int) -> None:
    chance = random.Random(seed)
    backlog, dropped = made(8, 60, overflow)
    out: list[str | bytes] = []
    refused: list[str | bytes] = []
    receipts: dict[str | bytes, asyncio.Future[None]] = {}
    for number in range(3000):
        match chance.randrange(5):
            case 0 | 1 | 2:
                message = str(number) + "." * chance.randrange(20)
                try:
                    receipts[message] = put(backlog, message)
                except LimitExceeded:
                    refused.append(message)
            case 3 if (entry := backlog.first()) is not None:
                backlog.sent(entry)
                out.append(entry.message)
            case _ if receipts:
                chance.choice(list(receipts.values())).cancel()
        if chance.random() < 0.3:
            await asyncio.sleep(0)
        assert len(backlog) <= 8
        assert 0 <= backlog.size <= 60
    out += sent(backlog)
    gone = [message for message, _ in dropped]
    withdrawn = [message for message, receipt in receipts.items() if receipt.cancelled()]
    assert sorted(map(str, [*out, *gone, *withdrawn])) == sorted(map(str, receipts))
    order = list(receipts)
    assert out == sorted(out, key=order.index)
