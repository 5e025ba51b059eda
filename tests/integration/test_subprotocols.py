"""Subprotocols: what is offered, what is chosen."""

from __future__ import annotations

import pytest

import everwire


@pytest.mark.parametrize(
    ("ours", "theirs", "chosen"),
    [
        (["a", "b"], ["b", "a"], "a"),
        (["a"], ["b"], None),
        (["a"], None, None),
        (None, ["a"], None),
        (["b"], ["a", "b", "c"], "b"),
    ],
)
async def test_the_first_of_the_servers_that_is_offered_is_chosen(wire, ours, theirs, chosen):
    async with wire.pair(serve={"subprotocols": ours}, subprotocols=theirs) as (client, server):
        assert client.subprotocol == server.subprotocol == chosen


async def test_a_hook_may_choose(wire):
    seen = []

    def select(connection, offered):
        seen.append(list(offered))
        return offered[-1]

    options = {"select_subprotocol": select, "subprotocols": ["a", "b"]}
    async with wire.pair(serve=options, subprotocols=["a", "b"]) as (client, server):
        assert client.subprotocol == server.subprotocol == "b"
    assert seen == [["a", "b"]]


async def test_a_hook_may_choose_none_or_refuse(line):
    def select(connection, offered):
        if not offered:
            raise everwire.HandshakeFailed("a subprotocol is needed")
        return

    async with line.serve(lambda connection: None, select_subprotocol=select) as server:
        async with line.connect(server, subprotocols=["a"]) as client:
            assert client.subprotocol is None
        with pytest.raises(everwire.HandshakeFailed) as raised:
            await line.connect(server)
        assert raised.value.status == 400
        assert b"a subprotocol is needed" in raised.value.response.body


async def test_a_client_refuses_a_choice_that_it_did_not_offer(line):
    options = {"select_subprotocol": lambda connection, offered: "never offered"}
    async with line.serve(lambda connection: None, **options) as server:
        with pytest.raises(everwire.HandshakeFailed):
            await line.connect(server, subprotocols=["a"])
    options = {"select_subprotocol": lambda connection, offered: "never-offered"}
    async with line.serve(lambda connection: None, **options) as server:
        with pytest.raises(everwire.HandshakeFailed, match="not offered"):
            await line.connect(server, subprotocols=["a"])


@pytest.mark.parametrize("wrong", [["a b"], ["a", "a"], [""], ["a\r\nX: y"], ["ä"]])
async def test_what_is_no_token_cannot_be_offered(line, wrong):
    async with line.serve(lambda connection: None) as server:
        with pytest.raises(everwire.UsageError, match="subprotocol"):
            await line.connect(server, subprotocols=wrong)


async def test_a_str_instead_of_a_list_is_a_mistake(line):
    with pytest.raises(everwire.UsageError, match="list"):
        line.serve(lambda connection: None, subprotocols="chat")
    with pytest.raises(everwire.UsageError, match="list"):
        everwire.connect("ws://localhost/", subprotocols="chat")
