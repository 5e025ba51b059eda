"""``websockets.client``: what ``connect()`` does when it connects again. The protocol class of that module is not offered."""

from ...reconnect import backoff, process_exception

__all__ = ["backoff", "process_exception"]
