"""One shard of the engine for each event loop, made when it is first needed."""

from __future__ import annotations

import asyncio
import os
import weakref

from .. import _core

__all__ = ["living_shard", "shard_of"]

# The loop keeps its shard alive while there is a socket on it; nothing here keeps either.
_shards: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, weakref.ref[_core.Shard]] = weakref.WeakKeyDictionary()

os.register_at_fork(after_in_child=_core.forked)


def shard_of(loop: asyncio.AbstractEventLoop) -> _core.Shard:
    """The shard of a loop. Whoever gets it keeps it until something listens or is connected on it."""
    shard = living_shard(loop)
    if shard is None or not shard.is_usable:
        shard = _core.Shard(loop)
        _shards[loop] = weakref.ref(shard)
    return shard


def living_shard(loop: asyncio.AbstractEventLoop) -> _core.Shard | None:
    """The shard that a loop has, even if the calling thread or process must not use it: it says so then."""
    reference = _shards.get(loop)
    return None if reference is None else reference()
