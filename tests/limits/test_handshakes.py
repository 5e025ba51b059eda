"""Too many who come, or come too often, or say too much before they are let in."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time

import pytest
from peer.client import RawClient, request
from peer.server import RawServer, answer
from peer.timing import MS, eventually

import everwire
from everwire import _core

TRUSTING = {"trusted_proxies": ["127.0.0.1"]}


def answering(*fields):
    """A server that accepts everybody, with these fields in its answer, and leaves when they do."""

    async def behavior(client, head):
        client.write(answer(head, *fields))
        await client.reader.read()

    return RawServer(behavior)


class TestConnections:
    async def test_beyond_it_503_until_somebody_leaves(self, serving):
        async with serving(limits={"connections": 3}) as served:
            inside = [await served.open() for _ in range(3)]
            async with await served.ask() as late:
                head = await late.head()
                assert (head.status, head["retry-after"]) == (503, "5")
                assert (
                    await late.text(head) == "this server takes no more than limits.connections (3): try again later\n"
                )
            async with inside[0]:
                pass
            await eventually(lambda: len(served.server.connections) == 2)
            async with await served.open():
                assert len(served.server.connections) == 3

    @pytest.mark.measures_sockets
    async def test_those_who_only_connect_count_too_and_a_crowd_is_not_even_answered(self, serving):
        async with serving(limits={"connections": 3}) as served:
            before = _core.memory_held()
            crowd = [await served.connect() for _ in range(50)]
            # Three places, eight more to be told 503; the others are hung up on.
            ended = await asyncio.gather(*(asyncio.wait_for(client.reader.read(), 5000 * MS) for client in crowd[11:]))
            assert set(ended) == {b""}
            assert served.server._shard.connections == 11
            for client in crowd[3:11]:
                client.write(request())
                assert (await client.head()).status == 503
            assert _core.memory_held() - before < 32 * 1024


class _Thinking:
    """A hook that thinks until it is told to go on; a stubborn one does not even heed cancellation."""

    def __init__(self, *, stubborn: bool = False) -> None:
        self.running = 0
        self.cancelled = 0
        self.may_end = asyncio.Event()
        self._stubborn = stubborn

    async def __call__(self, connection: everwire.ServerConnection, *_: object) -> None:
        self.running += 1
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            if not self._stubborn:
                raise
            await self.may_end.wait()
        finally:
            self.running -= 1


class TestHooks:
    @pytest.mark.parametrize("name", ["process_request", "process_response"])
    async def test_beyond_it_503_until_one_of_them_has_ended(self, serving, name):
        hook = _Thinking()
        async with serving(limits={"hooks": 2}, **{name: hook}) as served:
            inside = [await served.ask() for _ in range(2)]
            await eventually(lambda: hook.running == 2)
            async with await served.ask() as late:
                head = await late.head()
                assert (head.status, head["retry-after"]) == (503, "5")
                text = "no more than limits.hooks (2) handshakes are decided at once: try again later\n"
                assert await late.text(head) == text
            inside[0].reset()
            await eventually(lambda: hook.cancelled == 1)
            another = await served.ask()
            await eventually(lambda: hook.running == 2)
            hook.may_end.set()
            assert (await another.head()).status == 101

    async def test_one_that_does_not_heed_its_cancellation_counts_until_it_ends(self, serving):
        hook = _Thinking(stubborn=True)
        async with serving(limits={"hooks": 1}, process_request=hook) as served:
            async with await served.ask():
                await eventually(lambda: hook.running)
            await eventually(lambda: hook.cancelled)
            assert await served.status() == 503
            hook.may_end.set()
            await eventually(lambda: not hook.running)
            assert await served.status() == 101


class TestConnectionsPerAddress:
    async def test_beyond_it_429_until_one_is_given_back(self, serving):
        async with serving(limits={"connections_per_address": 2}, **TRUSTING) as served:
            held = [await served.ask(client="203.0.113.7") for _ in range(2)]
            assert [(await client.head()).status for client in held] == [101, 101]
            async with await served.ask(client="203.0.113.7") as late:
                head = await late.head()
                assert head.status == 429
                text = "this address has limits.connections_per_address (2) connections already\n"
                assert await late.text(head) == text
            assert await served.status(client="203.0.113.8") == 101
            async with held[0]:
                pass
            await eventually(lambda: len(served.server.connections) == 1)
            assert await served.status(client="203.0.113.7") == 101

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            ("2001:db8::1", "2001:db8::ffff:2"),
            ("203.0.113.7", "::ffff:203.0.113.7"),
            ("203.0.113.7", "198.51.100.1, 203.0.113.7"),
            ("203.0.113.7", "203.0.113.7, 127.0.0.1"),
        ],
        ids=["one /64", "IPv4 in IPv6", "made up on the left", "through two proxies"],
    )
    async def test_the_same_client_in_other_words(self, serving, first, second):
        async with serving(limits={"connections_per_address": 1}, **TRUSTING) as served:
            async with await served.ask(client=first) as held:
                assert (await held.head()).status == 101
                assert await served.status(client=second) == 429

    async def test_forwarded_is_read_where_it_is_trusted_instead(self, serving):
        async with serving(limits={"connections_per_address": 1}, forwarded="forwarded", **TRUSTING) as served:
            async with await served.ask("Forwarded: for=203.0.113.7;proto=https", client="198.51.100.1") as held:
                assert (await held.head()).status == 101
                assert await served.status("Forwarded: for=203.0.113.7", client="198.51.100.2") == 429

    async def test_nobody_is_believed_who_is_not_trusted(self, serving):
        async with serving(limits={"connections_per_address": 1}) as served:
            held = [await served.ask(client="203.0.113.7") for _ in range(3)]
            assert [(await client.head()).status for client in held] == [101] * 3


class TestHandshakesPerSecond:
    @pytest.mark.parametrize("fields", [(), ("Origin: https://evil.example",)], ids=["good", "refused"])
    async def test_a_burst_of_twice_as_many_then_429(self, serving, fields):
        async with serving(limits={"handshakes_per_second": 5}, **TRUSTING) as served:
            began = time.monotonic()
            answers = [await served.status(*fields, client="203.0.113.7") for _ in range(30)]
            earned = 5 * (time.monotonic() - began)
            other = 403 if fields else 101
            assert set(answers[:10]) == {other}
            assert 10 <= answers.count(other) <= 11 + earned
            assert answers.count(429) + answers.count(other) == 30

    async def test_who_waits_as_told_is_let_in(self, serving):
        async with serving(limits={"handshakes_per_second": 1}, **TRUSTING) as served:
            while True:
                async with await served.ask(client="203.0.113.7") as client:
                    head = await client.head()
                    if head.status == 429:
                        text = "this address asks for more than limits.handshakes_per_second (1): try again later\n"
                        assert await client.text(head) == text
                        break
            assert await served.status(client="203.0.113.8") == 101
            await asyncio.sleep(int(head["retry-after"]) * 1.1)
            assert await served.status(client="203.0.113.7") == 101


class TestHead:
    async def test_beyond_it_431(self, serving):
        async with serving(limits={"head": 1000}) as served:
            rest = "X: " + "y" * (1000 - len(request("/", "X: ")))
            assert await served.status(rest) == 101
            size = len(rest + "y")
            text = f'the head is longer than limits.head (1000 bytes): its largest field is "X" with {size} bytes\n'
            async with await served.ask(rest + "y") as client:
                head = await client.head()
                assert (head.status, await client.text(head)) == (431, text)

    async def test_heads_that_never_end_hold_no_more(self, serving):
        async with serving(limits={"head": 4000}) as served:
            before = _core.memory_held()
            clients = [await served.connect() for _ in range(50)]
            for client in clients:
                for piece in (b"GET / HTTP/1.1\r\n", b"X: " + b"y" * 1000, b"y" * 2900):
                    client.write(piece)
                    await asyncio.sleep(0)
            await eventually(lambda: _core.memory_held() - before >= 50 * 3900)
            assert _core.memory_held() - before <= 50 * 2 * 4000
            for client in clients:
                client.write(b"y" * 1000)
                assert (await client.head()).status == 431
            assert _core.memory_held() - before < 50 * 1000

    async def test_a_server_that_answers_more_is_not_listened_to(self):
        async with answering("X: " + "y" * 600, "Y: " + "y" * 600) as server:
            async with everwire.connect(server.url) as connection:
                connection.abort()
            with pytest.raises(
                everwire.HandshakeFailed, match=r'limits.head \(1000 bytes\): its largest field is "X" with 603'
            ):
                await everwire.connect(server.url, limits=everwire.Limits(head=1000))


class TestFields:
    async def test_beyond_it_431(self, serving):
        async with serving(limits={"fields": 10}) as served:
            fields = [f"X-{number}: y" for number in range(5)]
            assert await served.status(*fields) == 101
            async with await served.ask(*fields, "Y: z") as client:
                head = await client.head()
                text = 'the head has more fields than limits.fields (10): "Y" is one too many\n'
                assert (head.status, await client.text(head)) == (431, text)

    async def test_a_server_that_answers_more_is_not_listened_to(self):
        # Three are of the handshake.
        async with answering(*(f"X-{number}: y" for number in range(7))) as server:
            async with everwire.connect(server.url, limits=everwire.Limits(fields=10)) as connection:
                connection.abort()
            with pytest.raises(everwire.HandshakeFailed, match=r'limits.fields \(9\): "X-6" is one too many'):
                await everwire.connect(server.url, limits=everwire.Limits(fields=9))


class TestLine:
    async def test_beyond_it_414_or_431(self, serving):
        async with serving(limits={"line": 200}) as served:
            field = "X: " + "y" * 197
            assert await served.status(field) == 101
            async with await served.ask(field + "y") as client:
                head = await client.head()
                assert (head.status, await client.text(head)) == (
                    431,
                    'the field "X" is longer than limits.line (200 bytes)\n',
                )
            target = "/" + "a" * (200 - len("GET / HTTP/1.1"))
            for longer, status in (("", 101), ("a", 414)):
                async with await served.connect() as client:
                    client.write(request(target + longer))
                    head = await client.head()
                    assert head.status == status
                    if status == 414:
                        text = "the first line of the head is longer than limits.line (200 bytes)\n"
                        assert await client.text(head) == text

    async def test_a_name_is_shown_shortened_and_escaped(self, serving):
        async with serving(limits={"line": 200}) as served:
            async with await served.connect() as client:
                client.write(b'GET / HTTP/1.1\r\n<b>\xff"' + b"y" * 200)
                head = await client.head()
                name = '<b>\\xff\\"' + "y" * 35
                text = f'the field "{name}..." is longer than limits.line (200 bytes)\n'
                assert (head.status, await client.text(head)) == (431, text)
                assert head["content-type"] == "text/plain; charset=utf-8"

    async def test_a_server_that_answers_more_is_not_listened_to(self):
        async with answering("X: " + "y" * 197) as server:
            async with everwire.connect(server.url, limits=everwire.Limits(line=200)) as connection:
                connection.abort()
            with pytest.raises(everwire.HandshakeFailed, match=r'field "X" is longer than limits.line \(199 bytes\)'):
                await everwire.connect(server.url, limits=everwire.Limits(line=199))


class TestAddresses:
    async def test_a_crowd_of_addresses_does_not_make_it_forget_who_holds_what(self, serving):
        limits = {"addresses": 1, "connections_per_address": 1}
        async with serving(limits=limits, **TRUSTING) as served, await served.ask(client="203.0.113.7") as held:
            assert (await held.head()).status == 101
            # There is no room to count these: only the limits that know no address hold for them.
            for number in range(100):
                assert await served.status(client=f"198.51.100.{number}") == 101
            assert await served.status(client="203.0.113.7") == 429

    async def test_who_left_makes_room_and_those_never_counted_are_not_counted_back(self, serving):
        limits = {"addresses": 1, "connections_per_address": 1}
        async with serving(limits=limits, **TRUSTING) as served:
            first = await served.ask(client="203.0.113.7")
            assert (await first.head()).status == 101
            uncounted = await served.ask(client="203.0.113.8")
            assert (await uncounted.head()).status == 101
            async with first:
                pass
            await eventually(lambda: len(served.server.connections) == 1)
            # Remembered for the two seconds that its burst takes to come back.
            await asyncio.sleep(2.1)
            async with await served.ask(client="203.0.113.8") as counted:
                assert (await counted.head()).status == 101
                assert await served.status(client="203.0.113.8") == 429
                async with uncounted:
                    pass
                await eventually(lambda: len(served.server.connections) == 1)
                assert await served.status(client="203.0.113.8") == 429


def proxy_header(client: str) -> bytes:
    """A PROXY protocol v2 header that names a client."""
    addresses = socket.inet_aton(client) + socket.inet_aton("127.0.0.1") + (40_000).to_bytes(2) + (443).to_bytes(2)
    return b"\r\n\r\n\0\r\nQUIT\n\x21\x11" + len(addresses).to_bytes(2) + addresses


# Who an address is, is known before TLS costs anything; and so are its limits.


async def shakes_hands(served, client: str) -> bool:
    """Whether a server does TLS with a client from there, or, without TLS, keeps it waiting for its request."""
    async with await RawClient.connect(served.address) as asking:
        asking.write(proxy_header(client))
        if served.tls is None:
            try:
                return not await asyncio.wait_for(asking.reader.read(1), 100 * MS)
            except TimeoutError:
                return True
        try:
            await asking.writer.start_tls(served.tls, server_hostname="localhost")
        except (ssl.SSLError, ConnectionError):
            return False
        return True


async def test_an_address_has_no_more_handshakes_than_its_rate(serving):
    async with serving(proxy_protocol=True, limits={"handshakes_per_second": 1}) as served:
        answers = [await shakes_hands(served, "203.0.113.7") for _ in range(20)]
        # A burst of two seconds' worth, and what was earned meanwhile.
        assert answers[:2] == [True, True]
        assert answers.count(True) <= 4
        assert await shakes_hands(served, "203.0.113.8")


async def test_an_address_holds_no_more_connections_than_its_limit_although_they_are_silent(serving):
    async with serving(proxy_protocol=True, limits={"connections_per_address": 3}) as served:
        for _ in range(3):
            (await served.connect(tls=None)).write(proxy_header("203.0.113.7"))
        await eventually(lambda: served.server._shard.connections == 3)
        assert not await shakes_hands(served, "203.0.113.7")
        assert await shakes_hands(served, "203.0.113.8")
