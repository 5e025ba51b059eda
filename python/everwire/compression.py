"""permessage-deflate (RFC 7692): whether, and how, messages are compressed."""

from __future__ import annotations

import dataclasses
from typing import Any

__all__ = ["Deflate"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Deflate:
    """What to offer or to accept; ``compression="deflate"`` means the defaults.

    Without context takeover every message is compressed by itself: nothing is kept between messages, and a broadcast is
    compressed once for everybody. With it, small similar messages shrink to a third of that, for 130 KiB and more a connection.

    Attributes:
        server_no_context_takeover: the server forgets after each message.
        client_no_context_takeover: the client does.
        server_max_window_bits: the server's window is at most 2\\ :sup:`n` bytes, n in 9 to 15; ``None`` for 15.
        client_max_window_bits: the client's.
        level: 1 (fast) to 9 (small).
        threshold: bytes below which messages are sent as they are.
    """

    server_no_context_takeover: bool = True
    client_no_context_takeover: bool = True
    server_max_window_bits: int | None = None
    client_max_window_bits: int | None = None
    level: int = 6
    threshold: int = 1024

    def __post_init__(self) -> None:
        for name in ("server_max_window_bits", "client_max_window_bits"):
            bits = getattr(self, name)
            if bits is not None and not 9 <= bits <= 15:
                raise ValueError(f"{name} must be 9 to 15, or None; not {bits}")
        if not 1 <= self.level <= 9:
            raise ValueError(f"level must be 1 to 9, not {self.level}")
        if self.threshold < 0:
            raise ValueError(f"threshold must not be negative, not {self.threshold}")


def engine_options(compression: str | Deflate | None) -> dict[str, Any] | None:
    """What the engine takes for ``compression=``."""
    if compression is None:
        return None
    if compression == "deflate":
        compression = Deflate()
    if not isinstance(compression, Deflate):
        raise ValueError(f'compression is "deflate", None or Deflate(...), not {compression!r}')
    return dataclasses.asdict(compression)
