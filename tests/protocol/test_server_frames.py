"""Hostile frames, said byte for byte to a real server: the close code that each is answered with, and what memory it costs."""

from __future__ import annotations

import zlib

import pytest
from peer import frames
from peer.client import RawClient
from peer.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, encode
from peer.timing import eventually

import everwire
from everwire import _core

DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"
KIB = 1024


async def fails(serving, say, data, code, *fields, **options):
    """Say something after a good handshake: the server closes with this code, says nothing else, and hangs up."""
    async with serving(**options) as address, await RawClient.open(address, *fields) as client:
        await say(client, data)
        frame = await client.frame()
        assert (frame.opcode, frame.code, frame.masked) == (CLOSE, code, False)
        assert frame.reason
        assert await client.body() == b""


class TestRFC6455Section5_1:
    """Masking."""

    async def test_an_unmasked_frame_is_1002(self, serving, say):
        await fails(serving, say, encode(TEXT, b"hello", key=None), 1002)

    async def test_its_header_is_enough(self, serving, say):
        await fails(serving, say, encode(TEXT, b"hello", key=None)[:2], 1002)

    async def test_a_key_of_zeros_is_a_key(self, serving, say):
        async with serving() as address, await RawClient.open(address) as client:
            await say(client, encode(TEXT, b"hello", key=bytes(4)))
            assert (await client.frame()).payload == b"hello"


class TestRFC6455Section5_2:
    """The header."""

    @pytest.mark.parametrize("rsv", range(1, 8))
    @pytest.mark.parametrize("opcode", [TEXT, BINARY, PING, CLOSE])
    async def test_a_reserved_bit_is_1002(self, serving, say, opcode, rsv):
        await fails(serving, say, encode(opcode, rsv=rsv), 1002)

    @pytest.mark.parametrize("rsv", [1, 2, 3])
    async def test_the_others_stay_reserved_with_compression(self, serving, say, rsv):
        await fails(serving, say, encode(TEXT, frames.deflate(b"x"), rsv=rsv), 1002, DEFLATE)

    @pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
    async def test_a_reserved_opcode_is_1002(self, serving, say, opcode):
        await fails(serving, say, encode(opcode, b"x"), 1002)

    @pytest.mark.parametrize(("length", "form"), [(0, 2), (125, 2), (0, 8), (126, 8), (65535, 8)])
    async def test_a_length_that_is_not_minimal_is_1002(self, serving, say, length, form):
        await fails(serving, say, encode(BINARY, length=length, form=form), 1002)

    @pytest.mark.parametrize("length", [2**63, 2**64 - 1])
    async def test_the_top_bit_of_a_length_is_1002(self, serving, say, length):
        await fails(serving, say, encode(BINARY, length=length), 1002)

    @pytest.mark.parametrize("length", [1024 * KIB + 1, 2**32, 2**63 - 1])
    async def test_a_claim_beyond_the_limit_is_1009_before_any_payload(self, serving, say, length):
        await fails(serving, say, encode(BINARY, length=length), 1009)

    async def test_a_claim_within_the_limit_costs_nothing(self, serving, say):
        async with serving() as address:
            before = _core.memory_held()
            clients = [await RawClient.open(address) for _ in range(20)]
            for client in clients:
                await say(client, encode(BINARY, b"x", length=1024 * KIB))
            witness = await RawClient.open(address)
            witness.send(PING, b"they were read before this")
            assert (await witness.frame()).opcode == PONG
            assert _core.memory_held() - before < 20 * KIB
            for client in (*clients, witness):
                async with client:
                    pass
            await eventually(lambda: _core.memory_held() <= before)

    async def test_memory_follows_what_was_received_not_what_was_claimed(self, serving):
        async with serving() as address, await RawClient.open(address) as client:
            before = _core.memory_held()
            client.write(encode(BINARY, bytes(100 * KIB), length=1024 * KIB))
            await eventually(lambda: _core.memory_held() - before >= 100 * KIB)
            assert _core.memory_held() - before <= 256 * KIB


class TestRFC6455Section5_4:
    """Fragments."""

    async def test_a_continuation_of_nothing_is_1002(self, serving, say):
        await fails(serving, say, encode(CONTINUATION, b"x"), 1002)

    async def test_a_continuation_after_the_last_fragment_is_1002(self, serving, say):
        async with serving() as address, await RawClient.open(address) as client:
            await say(client, encode(TEXT, b"a", fin=False) + encode(CONTINUATION, b"b"))
            assert (await client.frame()).payload == b"ab"
            await say(client, encode(CONTINUATION, b"c"))
            assert (await client.frame()).code == 1002

    @pytest.mark.parametrize("opcode", [TEXT, BINARY])
    async def test_a_new_message_within_another_is_1002(self, serving, say, opcode):
        await fails(serving, say, encode(BINARY, b"a", fin=False) + encode(opcode, b"b", fin=False), 1002)

    async def test_a_message_is_what_its_fragments_are_together(self, serving, say):
        async with serving() as address, await RawClient.open(address) as client:
            parts = [encode(TEXT, fin=False), encode(CONTINUATION, "ä".encode()[:1], fin=False)]
            parts += [encode(CONTINUATION, fin=False), encode(CONTINUATION, "ä".encode()[1:], fin=False)]
            await say(client, b"".join([*parts, encode(CONTINUATION)]))
            frame = await client.frame()
            assert (frame.opcode, frame.payload, frame.fin) == (TEXT, "ä".encode(), True)

    async def test_fragments_count_together_against_the_limit(self, serving):
        async with serving(max_size=100 * KIB) as address, await RawClient.open(address) as client:
            client.write(encode(BINARY, bytes(60 * KIB), fin=False) + encode(CONTINUATION, length=40 * KIB + 1))
            assert (await client.frame()).code == 1009

    async def test_many_empty_fragments_cost_nothing(self, serving):
        async with serving() as address, await RawClient.open(address) as client:
            before = _core.memory_held()
            client.write(encode(BINARY, b"a", fin=False) + encode(CONTINUATION, fin=False) * 50_000)
            client.send(PING)
            assert (await client.frame()).opcode == PONG
            assert _core.memory_held() - before < 4 * KIB
            client.send(CONTINUATION, b"z")
            assert (await client.frame()).payload == b"az"


class TestRFC6455Section5_5:
    """Control frames."""

    @pytest.mark.parametrize("opcode", [CLOSE, PING, PONG])
    async def test_a_fragmented_one_is_1002(self, serving, say, opcode):
        await fails(serving, say, encode(opcode, fin=False), 1002)

    @pytest.mark.parametrize("opcode", [CLOSE, PING, PONG])
    async def test_one_of_126_bytes_is_1002_before_its_payload(self, serving, say, opcode):
        await fails(serving, say, encode(opcode, length=126), 1002)

    async def test_pings_of_125_bytes_are_answered_with_the_same(self, serving, say):
        async with serving() as address, await RawClient.open(address) as client:
            payload = bytes(range(125))
            await say(client, encode(PING, payload))
            frame = await client.frame()
            assert (frame.opcode, frame.payload) == (PONG, payload)

    async def test_a_ping_between_fragments_is_answered_before_the_message(self, serving, say):
        async with serving() as address, await RawClient.open(address) as client:
            await say(client, encode(TEXT, b"a", fin=False) + encode(PING, b"now"))
            assert (await client.frame()).payload == b"now"
            await say(client, encode(CONTINUATION, b"b"))
            assert (await client.frame()).payload == b"ab"

    async def test_a_pong_that_nobody_asked_for_is_ignored(self, serving, say):
        async with serving() as address, await RawClient.open(address) as client:
            await say(client, encode(PONG, b"hm") + encode(TEXT, b"x"))
            assert (await client.frame()).payload == b"x"


class TestRFC6455Section5_5_1:
    """Close frames."""

    @pytest.mark.parametrize(
        "code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4999]
    )
    async def test_a_valid_one_is_answered_with_its_like(self, serving, say, code):
        async with serving() as address, await RawClient.open(address) as client:
            await say(client, frames.close(code, "très bien"))
            frame = await client.frame()
            assert (frame.opcode, frame.code, frame.reason) == (CLOSE, code, "très bien")
            assert await client.body() == b""

    async def test_an_empty_one_is_answered_with_an_empty_one(self, serving, say):
        async with serving() as address, await RawClient.open(address) as client:
            await say(client, frames.close(None))
            frame = await client.frame()
            assert (frame.opcode, frame.payload) == (CLOSE, b"")

    @pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535])
    async def test_a_code_that_must_not_be_sent_is_1002(self, serving, say, code):
        await fails(serving, say, frames.close(code), 1002)

    async def test_half_a_code_is_1002(self, serving, say):
        await fails(serving, say, encode(CLOSE, b"\x03"), 1002)

    async def test_a_reason_that_is_not_utf_8_is_1007(self, serving, say):
        await fails(serving, say, frames.close(1000, b"\xff"), 1007)

    async def test_what_comes_after_it_is_not_looked_at(self, serving, say):
        async with serving() as address, await RawClient.open(address) as client:
            await say(client, frames.close(1000) + b"\xff" * 100)
            assert (await client.frame()).code == 1000
            assert await client.body() == b""


class TestRFC6455Section8_1:
    """Text is UTF-8, and is judged as it comes."""

    @pytest.mark.parametrize(
        "text",
        [
            b"\xff",
            b"\x80",
            b"\xc0\xaf",
            b"\xe0\x80\xaf",
            b"\xed\xa0\x80",
            b"\xf0\x80\x80\xaf",
            b"\xf4\x90\x80\x80",
            b"\xf5",
            b"\xceX",
        ],
    )
    async def test_a_byte_that_can_begin_nothing_good_is_1007_though_more_is_to_come(self, serving, say, text):
        await fails(serving, say, encode(TEXT, b"fine so far " + text, length=100), 1007)

    async def test_in_a_later_fragment_too(self, serving, say):
        data = encode(TEXT, b"\xce", fin=False) + encode(CONTINUATION, b"\xce", fin=False)
        await fails(serving, say, data, 1007)

    @pytest.mark.parametrize("text", [b"\xce", b"\xe2\x82", b"\xf0\x9f\x98"])
    async def test_a_character_that_is_cut_off_is_1007_at_the_end(self, serving, say, text):
        await fails(serving, say, encode(TEXT, text), 1007)

    async def test_within_compressed_text_too(self, serving, say):
        await fails(serving, say, encode(TEXT, frames.deflate(b"fine \xff"), rsv=4), 1007, DEFLATE)

    async def test_binary_is_anything(self, serving, say):
        async with serving() as address, await RawClient.open(address) as client:
            await say(client, encode(BINARY, b"\xff\xfe"))
            assert (await client.frame()).payload == b"\xff\xfe"


class TestRFC7692Section6:
    """Compressed messages."""

    async def test_a_ping_between_their_fragments(self, serving, say):
        text = b"compressed " * 20
        data = frames.deflate(text)
        async with serving() as address, await RawClient.open(address, DEFLATE) as client:
            await say(client, encode(TEXT, data[:5], rsv=4, fin=False) + encode(PING, b"now"))
            assert (await client.frame()).payload == b"now"
            await say(client, encode(CONTINUATION, data[5:]))
            assert (await client.frame()).payload == text

    async def test_a_plain_message_between_compressed_ones(self, serving, say):
        async with serving() as address, await RawClient.open(address, DEFLATE) as client:
            await say(client, encode(TEXT, frames.deflate(b"one"), rsv=4) + encode(TEXT, b"two"))
            await say(client, encode(TEXT, frames.deflate(b"three"), rsv=4))
            assert [(await client.frame()).payload for _ in range(3)] == [b"one", b"two", b"three"]

    @pytest.mark.parametrize("data", [b"\x00", b"", frames.deflate(b"")], ids=["one empty block", "nothing", "flushed"])
    async def test_an_empty_one(self, serving, say, data):
        async with serving() as address, await RawClient.open(address, DEFLATE) as client:
            await say(client, encode(TEXT, data, rsv=4) + encode(TEXT, b"next"))
            assert [(await client.frame()).payload for _ in range(2)] == [b"", b"next"]

    async def test_the_bit_on_a_continuation_is_1002(self, serving, say):
        data = frames.deflate(b"x" * 50)
        await fails(
            serving,
            say,
            encode(TEXT, data[:3], rsv=4, fin=False) + encode(CONTINUATION, data[3:], rsv=4),
            1002,
            DEFLATE,
        )

    @pytest.mark.parametrize("opcode", [PING, CLOSE])
    async def test_the_bit_on_a_control_frame_is_1002(self, serving, say, opcode):
        await fails(serving, say, encode(opcode, rsv=4), 1002, DEFLATE)

    @pytest.mark.parametrize("data", [b"\xff" * 20, b"\x06"], ids=["no such block", "cut off"])
    async def test_what_is_no_deflate_is_1007(self, serving, say, data):
        await fails(serving, say, encode(BINARY, data, rsv=4), 1007, DEFLATE)


class TestRFC7692Section7_2_3_4:
    """Blocks with BFINAL: the stream ends, the message need not."""

    async def test_a_final_block_ends_the_message(self, serving, say):
        deflater = zlib.compressobj(wbits=-15)
        data = deflater.compress(b"final") + deflater.flush(zlib.Z_FINISH)
        async with serving() as address, await RawClient.open(address, DEFLATE) as client:
            await say(client, encode(TEXT, data + b"\x00", rsv=4) + encode(TEXT, frames.deflate(b"next"), rsv=4))
            assert [(await client.frame()).payload for _ in range(2)] == [b"final", b"next"]

    async def test_a_message_may_go_on_after_one(self, serving, say):
        data = b""
        for piece in (b"first ", b"second"):
            deflater = zlib.compressobj(wbits=-15)
            data += deflater.compress(piece) + deflater.flush(zlib.Z_FINISH)
        async with serving() as address, await RawClient.open(address, DEFLATE) as client:
            await say(client, encode(TEXT, data + b"\x00", rsv=4))
            assert (await client.frame()).payload == b"first second"


class TestRFC6455Section7_1_7:
    """Failing a connection: what the application sees of it."""

    async def test_it_is_an_end_with_a_cause_and_no_traceback(self, serving, say, caplog):
        ended = []

        async def handler(connection):
            try:
                await connection.recv()
            except everwire.ConnectionClosedError as closed:
                ended.append(closed)

        await fails(serving, say, encode(3), 1002, handler=handler)
        (closed,) = ended
        assert (closed.rcvd, closed.sent.code, closed.code) == (None, 1002, 1006)
        assert isinstance(closed.__cause__, everwire.ProtocolError)
        assert "opcode 3" in str(closed)
        assert not [record for record in caplog.records if record.levelno > 20]

    async def test_messages_before_the_fault_are_received(self, serving, say):
        received = []

        async def handler(connection):
            async for message in connection:
                received.append(message)

        await fails(serving, say, encode(TEXT, b"good") + encode(TEXT, b"bad", key=None), 1002, handler=handler)
        assert received == ["good"]
