"""A hook that nobody waits for any more is given up: its client has gone, its time has passed, or the server closes."""

from __future__ import annotations

import asyncio

import pytest
from peer.certificates import client_context
from peer.client import STAYS_AFTER_GOODBYE, RawClient, request
from peer.timing import MS, eventually

import everwire

HOOKS = pytest.mark.parametrize("name", ["process_request", "process_response"])


class Slow:
    """A hook that thinks for ever, and remembers how that ended."""

    def __init__(self, *, stubborn: bool = False) -> None:
        self.entered = asyncio.Event()
        self.running = 0
        self.cancelled = 0
        self.may_end = asyncio.Event()
        self._stubborn = stubborn

    async def __call__(self, connection: everwire.ServerConnection, *_: object) -> None:
        self.running += 1
        self.entered.set()
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            if not self._stubborn:
                raise
            await self.may_end.wait()
        finally:
            self.running -= 1


async def never(connection):
    raise AssertionError("nobody gets here")


async def raw(wire, server):
    tls = None if wire.tls == "plain" else client_context()
    return await RawClient.connect(server.sockets[0].getsockname(), tls=tls)


@HOOKS
@pytest.mark.parametrize("how", ["hangs up", "resets"])
async def test_a_client_that_leaves_cancels_the_hook(wire, name, how, caplog):
    hook = Slow()
    async with wire.serve(never, open_timeout=None, **{name: hook}) as server:
        client = await raw(wire, server)
        client.write(request())
        await hook.entered.wait()
        if how == "resets":
            client.reset()
        else:
            client.writer.transport.abort()
        await eventually(lambda: hook.cancelled == 1)
        await eventually(lambda: not server._shard.connections and not server._deciding)
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]


@HOOKS
async def test_a_hook_is_cancelled_when_open_timeout_has_passed_and_not_only_when_its_client_has_gone(wire, name):
    hook = Slow()
    async with wire.serve(never, open_timeout=150 * MS, **{name: hook}) as server:
        async with await raw(wire, server) as client:
            client.write(request())
            await hook.entered.wait()
            assert (await client.head()).status == 408
            # The client is still there: it is told that the end has come, and has two seconds to hang up.
            await eventually(lambda: (hook.cancelled, hook.running) == (1, 0), 1000 * MS)
            assert server._shard.connections or (wire.tls != "plain" and not STAYS_AFTER_GOODBYE)


async def test_a_hook_that_does_not_heed_it_has_no_say_any_more(wire):
    hook = Slow(stubborn=True)
    async with wire.serve(never, process_request=hook, open_timeout=150 * MS) as server:
        async with await raw(wire, server) as client:
            client.write(request())
            assert (await client.head()).status == 408
            await eventually(lambda: hook.cancelled)
            hook.may_end.set()
            await eventually(lambda: not server._deciding)
            assert b"101" not in await client.body()


async def test_a_server_that_closes_cancels_its_hooks_and_answers_503(wire):
    hook = Slow()
    async with wire.serve(never, process_request=hook, open_timeout=None) as server:
        async with await raw(wire, server) as client:
            client.write(request())
            await hook.entered.wait()
            server.close()
            assert (await client.head()).status == 503
            await asyncio.wait_for(server.wait_closed(), 5000 * MS)
            assert (hook.cancelled, hook.running) == (1, 0)
