"""Frames, written and read the plain way (RFC 6455 §5.2): an opinion independent of the engine's."""

from __future__ import annotations

import dataclasses
import os
import zlib

__all__ = [
    "BINARY",
    "CLOSE",
    "CONTINUATION",
    "PING",
    "PONG",
    "TEXT",
    "Frame",
    "close",
    "deflate",
    "encode",
    "inflate",
    "mask",
    "parse",
]

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


@dataclasses.dataclass
class Frame:
    """A frame as it was on the wire, its payload unmasked."""

    opcode: int
    payload: bytes = b""
    fin: bool = True
    rsv: int = 0
    masked: bool = False

    @property
    def code(self) -> int | None:
        """The code of a close frame."""
        return int.from_bytes(self.payload[:2]) if self.payload else None

    @property
    def reason(self) -> str:
        """The reason of a close frame."""
        return self.payload[2:].decode()


def encode(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    key: bytes | None = b"\x12\x34\x56\x78",
    length: int | None = None,
    form: int | None = None,
) -> bytes:
    """Write a frame, a client's by default; ``key=None`` leaves it unmasked.

    Args:
        length: what the header claims, if not the truth.
        form: bytes of the length's form (1, 2 or 8), if not the shortest.
    """
    claim = len(payload) if length is None else length
    if form is None:
        form = 1 if claim < 126 else 2 if claim < 65536 else 8
    masked = 0 if key is None else 0x80
    head = bytes([(fin << 7) | (rsv << 4) | opcode])
    if form == 1:
        head += bytes([masked | claim])
    elif form == 2:
        head += bytes([masked | 126]) + claim.to_bytes(2)
    else:
        head += bytes([masked | 127]) + claim.to_bytes(8)
    return head + payload if key is None else head + key + mask(payload, key)


def close(code: int | None = 1000, reason: str | bytes = "", **options: object) -> bytes:
    """Write a close frame."""
    reason = reason.encode() if isinstance(reason, str) else reason
    payload = b"" if code is None else code.to_bytes(2) + reason
    return encode(CLOSE, payload, **options)  # type: ignore[arg-type]


def parse(data: bytes) -> tuple[Frame, int] | None:
    """Read one frame off the front, and how many bytes it took; ``None`` while it is incomplete."""
    if len(data) < 2:
        return None
    first, second = data[0], data[1]
    length, at = second & 0x7F, 2
    form = {126: 2, 127: 8}.get(length, 0)
    if form:
        if len(data) < at + form:
            return None
        length = int.from_bytes(data[at : at + form])
        at += form
    key = None
    if second & 0x80:
        key = data[at : at + 4]
        at += 4
    if len(data) < at + length:
        return None
    payload = bytes(data[at : at + length])
    if key is not None:
        payload = mask(payload, key)
    frame = Frame(first & 0x0F, payload, bool(first & 0x80), (first >> 4) & 7, key is not None)
    return frame, at + length


def mask(payload: bytes, key: bytes) -> bytes:
    """Mask or unmask."""
    if not payload:
        return b""
    keys = (key * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload) ^ int.from_bytes(keys)).to_bytes(len(payload))


def deflate(payload: bytes, level: int = 9) -> bytes:
    """Compress one message by itself (RFC 7692 §7.2.1)."""
    deflater = zlib.compressobj(level, wbits=-15)
    data = deflater.compress(payload) + deflater.flush(zlib.Z_SYNC_FLUSH)
    return data[:-4]


def inflate(payload: bytes) -> bytes:
    """Take back what :func:`deflate` did."""
    return zlib.decompressobj(wbits=-15).decompress(payload + b"\x00\x00\xff\xff")


def random_key() -> bytes:
    """A masking key as clients make them."""
    return os.urandom(4)
