"""What stands between the package and ``_core``: a shard for each event loop, settings, TLS that is not the core's."""

from .asyncio_tls import start_tls
from .settings import ConnectionOptions, ServerOptions, client_settings, server_settings
from .shards import living_shard, shard_of
from .ssl_driver import SSLDriver

__all__ = [
    "ConnectionOptions",
    "SSLDriver",
    "ServerOptions",
    "client_settings",
    "living_shard",
    "server_settings",
    "shard_of",
    "start_tls",
]
