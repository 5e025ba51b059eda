"""``websockets.extensions.permessage_deflate``: compression with parameters of one's own, as :class:`everwire.Deflate`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from ....compression import Deflate
from ....errors import UsageError

__all__ = ["ClientPerMessageDeflateFactory", "ServerPerMessageDeflateFactory", "deflate_of"]


class _Factory:
    def __init__(
        self,
        server_no_context_takeover: bool = False,
        client_no_context_takeover: bool = False,
        server_max_window_bits: int | None = None,
        client_max_window_bits: int | bool | None = None,
        compress_settings: Mapping[str, Any] | None = None,
    ) -> None:
        bits = None if isinstance(client_max_window_bits, bool) else client_max_window_bits
        level = (compress_settings or {}).get("level")
        self.deflate = Deflate(
            server_no_context_takeover=server_no_context_takeover,
            client_no_context_takeover=client_no_context_takeover,
            server_max_window_bits=server_max_window_bits,
            client_max_window_bits=bits,
            **({} if level is None else {"level": level}),
        )


class ClientPerMessageDeflateFactory(_Factory):
    """What a client offers. Of ``compress_settings`` the ``level`` counts."""


class ServerPerMessageDeflateFactory(_Factory):
    """What a server accepts. Of ``compress_settings`` the ``level`` counts."""


def deflate_of(extensions: Sequence[Any] | None, compression: str | None) -> Literal["deflate"] | Deflate | None:
    """The one ``compression`` argument of Everwire for the two of `websockets`.

    Raises:
        UsageError: an extension other than permessage-deflate.
        ValueError: ``compression`` is neither ``"deflate"`` nor ``None``.
    """
    if compression not in ("deflate", None):
        raise ValueError(f"unsupported compression: {compression}")
    for extension in extensions or ():
        if not isinstance(extension, _Factory):
            raise UsageError(f"the engine has no extension but permessage-deflate: {extension!r} cannot be used")
        return extension.deflate
    return None if compression is None else "deflate"
