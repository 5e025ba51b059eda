"""One shard of the engine for each event loop, made when it is first needed."""

from __future__ import annotations

import asyncio
import os
import weakref

from . import _core

__all__ = ["shard_of"]

# The loop keeps its shard alive while there is a socket on it; nothing here keeps either.
_shards: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, weakref.ref[_core.Shard]] = weakref.WeakKeyDictionary()

os.register_at_fork(after_in_child=_core.forked)


def shard_of(loop: asyncio.AbstractEventLoop) -> _core.Shard:
    """The shard of a loop. Whoever gets it keeps it until something listens or is connected on it."""
    reference = _shards.get(loop)
    shard = None if reference is None else reference()
    if shard is None or not shard.is_usable:
        shard = _core.Shard(loop)
        _shards[loop] = weakref.ref(shard)
    return shard
