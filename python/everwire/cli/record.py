"""How what happens on a connection is written for programs."""

from __future__ import annotations

import base64
import datetime
import json
from typing import Any

from ..close import Close
from .escaping import escaped_json

__all__ = ["close_record", "line", "message_record", "raw"]


def raw(data: str | bytes) -> bytes:
    """The bytes of a message, and nothing else."""
    return data.encode() if isinstance(data, str) else data


def line(data: str | bytes, time: datetime.datetime | None = None) -> bytes:
    """A message and a newline: text as it came, binary in hexadecimal; before it the time, if that is wanted."""
    text = data if isinstance(data, str) else data.hex()
    return f"{'' if time is None else f'{_stamp(time)} '}{text}\n".encode()


def message_record(direction: str, data: str | bytes, time: datetime.datetime) -> bytes:
    """A message as a line of JSON; binary in base64 (RFC 4648)."""
    if isinstance(data, str):
        return _record(direction, "text", time, data=data)
    return _record(direction, "binary", time, data=base64.b64encode(data).decode())


def close_record(direction: str, close: Close | None, time: datetime.datetime) -> bytes:
    """The end as a line of JSON; without a close frame the code is 1006."""
    close = close or Close(1006)
    return _record(direction, "close", time, code=close.code, reason=close.reason)


def _record(direction: str, kind: str, time: datetime.datetime, **more: Any) -> bytes:
    fields = {"direction": direction, "type": kind, **more, "time": _stamp(time)}
    # Somebody may look at it on a terminal after all.
    return f"{escaped_json(json.dumps(fields, ensure_ascii=False))}\n".encode()


def _stamp(time: datetime.datetime) -> str:
    return time.astimezone(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
