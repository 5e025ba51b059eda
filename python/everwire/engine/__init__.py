"""What stands between the package and ``_core``: a shard for each event loop, settings, bytes that asyncio carries."""

from .asyncio_tls import start_tls
from .outside import Outside
from .settings import client_settings, server_settings
from .shards import living_shard, shard_of

__all__ = [
    "Outside",
    "client_settings",
    "living_shard",
    "server_settings",
    "shard_of",
    "start_tls",
]
