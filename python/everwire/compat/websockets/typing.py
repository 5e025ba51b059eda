"""``websockets.typing``: the types of arguments and results."""

import http
import logging
import os
from typing import Any, NewType

from ...connection import BytesLike, Data

__all__ = [
    "BytesLike",
    "Data",
    "DataLike",
    "ExtensionName",
    "ExtensionParameter",
    "LoggerLike",
    "Origin",
    "PathLike",
    "StatusLike",
    "Subprotocol",
]

DataLike = str | BytesLike
"""What can be sent."""
LoggerLike = logging.Logger | logging.LoggerAdapter[Any]
"""What can be logged to."""
PathLike = str | bytes | os.PathLike[str] | os.PathLike[bytes]
"""Where a Unix socket is."""
StatusLike = http.HTTPStatus | int
"""An HTTP status."""
Origin = NewType("Origin", str)
"""The value of an ``Origin`` field."""
Subprotocol = NewType("Subprotocol", str)
"""A name in a ``Sec-WebSocket-Protocol`` field."""
ExtensionName = NewType("ExtensionName", str)
"""A name in a ``Sec-WebSocket-Extensions`` field."""
ExtensionParameter = tuple[str, str | None]
"""A parameter of such a name, with its value if it has one."""
