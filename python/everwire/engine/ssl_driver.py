"""TLS by the standard library, on sockets of the engine: any :class:`ssl.SSLContext`, through memory instead of sockets.

Slower than TLS in the core, and fully compatible. The engine reads and writes, keeps time and limits; a driver only turns
ciphertext into plaintext, and the reverse.
"""

from __future__ import annotations

import contextlib
import ssl

__all__ = ["SSLDriver"]

_RECORDS = 256 * 1024
"""Bytes of plaintext that are asked for at once."""


class SSLDriver:
    """TLS of one connection.

    Attributes:
        ssl_object: what programs ask about certificates and ciphers.
        is_open: the handshake is done.
        is_closed: the peer has said goodbye.
        error: why it failed, if it did.
    """

    def __init__(self, context: ssl.SSLContext, *, server_side: bool, server_name: str | None = None) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self.ssl_object = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_side, server_hostname=server_name
        )
        self.is_open = False
        self.is_closed = False
        self.error: Exception | None = None

    def unwrap(self, data: bytes) -> bytes:
        """Take ciphertext; return the plaintext that is complete. A client begins with no ciphertext.

        Raises:
            ssl.SSLError: TLS failed; what the peer is to hear of it is :meth:`outgoing`.
        """
        self._incoming.write(data)
        parts: list[bytes] = []
        try:
            if not self.is_open:
                self.ssl_object.do_handshake()
                self.is_open = True
            while part := self.ssl_object.read(_RECORDS):
                parts.append(part)
            self.is_closed = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.is_closed = True
        except Exception as error:
            self.error = error
            raise
        return b"".join(parts)

    def wrap(self, data: bytes, last: bool) -> None:
        """Encrypt plaintext, and say goodbye behind it if it is the last."""
        rest = memoryview(data)
        while rest:
            rest = rest[self.ssl_object.write(rest) :]
        if last and self.is_open:
            # It is written at once; what this fails to wait for is the peer's, for which the engine does not.
            with contextlib.suppress(ssl.SSLError):
                self.ssl_object.unwrap()

    def outgoing(self) -> bytes:
        """Take the ciphertext that is to be sent."""
        return self._outgoing.read()
