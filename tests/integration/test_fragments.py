"""Fragments: messages sent in parts from iterables."""

from __future__ import annotations

import asyncio

import pytest
from peer import frames
from peer.client import RawClient
from peer.timing import MS

import everwire


async def parts(*values, wait=0.0):
    for value in values:
        await asyncio.sleep(wait)
        yield value


async def ending(connection: everwire.Connection) -> everwire.ConnectionClosed:
    """How a connection ended."""
    with pytest.raises(everwire.ConnectionClosed) as raised:
        await connection.recv()
    return raised.value


async def test_an_iterable_is_one_message(wire):
    async with wire.pair() as (client, server):
        await client.send(["hé", "llo", "", " world"])
        assert await server.recv() == "héllo world"
        await client.send(iter([b"a", bytearray(b"b"), memoryview(b"c")]))
        assert await server.recv() == b"abc"
        await client.send(part for part in ("x" * 70_000, "y" * 70_000))
        assert await server.recv() == "x" * 70_000 + "y" * 70_000


async def test_an_async_iterable_is_one_message(wire):
    async with wire.pair() as (client, server):
        await client.send(parts("a", "b", "c", wait=MS))
        assert await server.recv() == "abc"
        await client.send(parts(b"a", b"b"))
        assert await server.recv() == b"ab"


async def test_an_empty_iterable_sends_nothing(line):
    async with line.pair() as (client, server):
        await client.send([])
        await client.send(parts())
        await client.send("next")
        assert await server.recv() == "next"


async def test_each_part_is_a_frame(line):
    async with line.serve(lambda connection: None) as server:
        async with await RawClient.open(server.sockets[0].getsockname()) as client:
            (connection,) = server.connections
            await connection.send(["a", "b", "c"])
            seen = [await client.frame() for _ in range(4)]
            assert [(frame.opcode, frame.fin, frame.payload) for frame in seen] == [
                (frames.TEXT, False, b"a"),
                (frames.CONTINUATION, False, b"b"),
                (frames.CONTINUATION, False, b"c"),
                # Which part is the last is known only when no other comes.
                (frames.CONTINUATION, True, b""),
            ]


async def test_other_messages_wait_for_the_end_of_a_fragmented_one(wire):
    async with wire.pair() as (client, server):
        going = asyncio.Event()

        async def slowly():
            yield "a"
            yield "b"
            await going.wait()
            yield "c"

        first = asyncio.ensure_future(client.send(slowly()))
        await asyncio.sleep(5 * MS)
        rest = [asyncio.ensure_future(client.send(message)) for message in ("second", ["thi", "rd"], "fourth")]
        await asyncio.sleep(5 * MS)
        assert not any(task.done() for task in rest)
        going.set()
        assert [await server.recv() for _ in range(4)] == ["abc", "second", "third", "fourth"]
        await asyncio.gather(first, *rest)


async def test_pings_pass_between_fragments(wire):
    async with wire.pair() as (client, server):
        going = asyncio.Event()

        async def slowly():
            yield "a" * 2000
            yield "b" * 2000
            await going.wait()
            yield "c" * 2000

        sending = asyncio.ensure_future(client.send(slowly()))
        await asyncio.sleep(5 * MS)
        assert await (await client.ping()) > 0
        assert await (await server.ping()) > 0
        going.set()
        await sending
        assert await server.recv() == "a" * 2000 + "b" * 2000 + "c" * 2000


async def test_parts_of_two_types_are_refused(line):
    async with line.pair() as (client, server):
        with pytest.raises(TypeError, match="one type"):
            await client.send(["a", b"b"])
        assert (await ending(client)).sent.code == 1011
        await server.wait_closed()


async def test_a_first_part_of_the_wrong_type_leaves_the_connection_open(line):
    async with line.pair() as (client, server):
        for wrong in ([1], [None], [["nested"]]):
            with pytest.raises(TypeError):
                await client.send(wrong)
        await client.send("goes on")
        assert await server.recv() == "goes on"


async def test_an_iterable_that_fails_in_the_middle_closes_with_1011(wire):
    """Half a message is with the peer, and there is no way to take it back."""

    async def broken():
        yield "a"
        yield "b"
        raise KeyError("broken")

    async with wire.pair() as (client, server):
        with pytest.raises(KeyError):
            await client.send(broken())
        assert (await asyncio.wait_for(ending(client), 5000 * MS)).sent.code == 1011
        with pytest.raises(everwire.ConnectionClosedError):
            await server.recv()


async def test_an_iterable_that_fails_at_once_leaves_the_connection_open(line):
    async def broken():
        raise KeyError("broken")
        yield

    async with line.pair() as (client, server):
        with pytest.raises(KeyError):
            await client.send(broken())
        await client.send("goes on")
        assert await server.recv() == "goes on"


async def test_a_fragmented_send_cancelled_in_the_middle_closes_with_1011(line):
    async def endless():
        yield "a"
        yield "b"
        await asyncio.Event().wait()

    async with line.pair() as (client, _):
        sending = asyncio.ensure_future(client.send(endless()))
        await asyncio.sleep(5 * MS)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert (await ending(client)).sent.code == 1011


async def test_a_fragmented_send_is_told_when_the_connection_ends(wire):
    async def endless():
        while True:
            yield "part"
            await asyncio.sleep(0)

    async with wire.pair() as (client, server):
        sending = asyncio.ensure_future(client.send(endless()))
        await asyncio.sleep(5 * MS)
        server.abort()
        with pytest.raises(everwire.ConnectionClosedError):
            await asyncio.wait_for(sending, 5000 * MS)


async def test_send_nowait_within_a_fragmented_message_is_a_mistake(line):
    async with line.pair() as (client, server):
        going = asyncio.Event()

        async def slowly():
            yield "a"
            yield "b"
            await going.wait()
            yield "c"

        sending = asyncio.ensure_future(client.send(slowly()))
        await asyncio.sleep(5 * MS)
        with pytest.raises(everwire.UsageError, match="in parts"):
            client.send_nowait("in between")
        going.set()
        await sending
        assert await server.recv() == "abc"


@pytest.mark.parametrize("size", [1, 2, 3])
async def test_bytes_of_a_text_may_be_cut_within_characters(wire, size):
    text = "κόσμε 𝄞"
    data = text.encode()
    async with wire.pair() as (client, server):
        await client.send([data[at : at + size] for at in range(0, len(data), size)], text=True)
        assert await server.recv() == text


@pytest.mark.parametrize(
    "pieces", [[b"fine ", b"\xff", b" fine"], [b"fine ", b"\xf0\x9d"]], ids=["wrong", "unfinished"]
)
async def test_bytes_of_a_text_that_are_not_utf_8_together_close_with_1011(line, pieces):
    async with line.pair() as (client, server):
        with pytest.raises(UnicodeDecodeError):
            await client.send(pieces, text=True)
        assert (await ending(server)).code == 1011
