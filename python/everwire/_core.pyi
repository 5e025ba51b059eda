"""The engine. Its names are for the package itself; programs use those of :mod:`everwire`.

What :class:`everwire.Connection` inherits from here is described here: receiving, sending, and the callback style.
"""

import ssl
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable
from typing import Any, Literal, Protocol, Self, final, overload, type_check_only

from typing_extensions import Buffer, disjoint_base

__all__ = [
    "Body",
    "Cause",
    "ClientTLS",
    "Connection",
    "Ending",
    "Failure",
    "Judgement",
    "Offer",
    "ServerTLS",
    "Settings",
    "Shard",
    "TLSSession",
    "__version__",
    "agreed_extension",
    "drop_request",
    "drop_response",
    "forked",
    "limits",
    "memory_held",
    "origin",
    "request_head",
    "response_head",
]

__version__: str

@disjoint_base
class Connection:
    """Messages in and out of one connection; :class:`everwire.Connection` adds everything else.

    All of it belongs to the thread of its event loop: a call from another one raises :exc:`~everwire.UsageError`, and
    so does any call in a forked child.
    """

    def __new__(cls, *arguments: Any, **options: Any) -> Self:
        """Make a connection that leads nowhere yet. Arguments are for the ``__init__`` of subclasses."""

    # Receiving

    @overload
    def recv(self, decode: None = None) -> Coroutine[Any, Any, str | bytes]:
        """Receive one message.

        RFC 6455 §5.6, §6.2. The message is taken when the coroutine is first driven, not at the call: if cancelled, no
        message is lost, the next ``recv()`` gets it. Messages that came before the end are received before the end is
        raised. While nobody receives, at most ``limits.queue_messages`` and ``limits.queue_bytes`` wait; then reading
        stops and TCP slows the peer down.

        Args:
            decode: ``None`` for what was sent, text as ``str`` and binary as ``bytes``; ``True`` for ``str``, ``False``
                for ``bytes``, whatever was sent. ``False`` saves decoding text only to encode it again.

        Raises:
            ConnectionClosed: the connection is closed, and every message that came was received.
            UnicodeDecodeError: ``decode=True``, and a binary message is not UTF-8; the message is gone.
            UsageError: another task receives: messages have an order, and one receiver.
        """

    @overload
    def recv(self, decode: Literal[True]) -> Coroutine[Any, Any, str]: ...
    @overload
    def recv(self, decode: Literal[False]) -> Coroutine[Any, Any, bytes]: ...
    @overload
    def recv(self, decode: bool | None) -> Coroutine[Any, Any, str | bytes]: ...
    def __aiter__(self) -> AsyncIterator[str | bytes]:
        """Receive until the end: ``async for message in connection``.

        The loop ends at a normal closure (:exc:`~everwire.ConnectionClosedOK`: codes 1000 and 1001, or none). It can be
        left and entered again; nothing is lost between.

        Raises:
            ConnectionClosedError: the connection ended otherwise.
        """

    def __anext__(self) -> Coroutine[Any, Any, str | bytes]:
        """Receive one message, as :meth:`recv` does.

        Raises:
            StopAsyncIteration: a normal closure.
            ConnectionClosedError: any other end.
            UsageError: another task receives.
        """

    # Sending

    def send(
        self,
        message: str | Buffer | Iterable[str | Buffer] | AsyncIterable[str | Buffer],
        text: bool | None = None,
    ) -> Coroutine[Any, Any, None]:
        """Queue one message, after waiting for the output to fall below its high-water mark.

        RFC 6455 §5.4, §5.6, §6.1. Below ``limits.write_high`` bytes of queued output the message is queued by the call
        itself: awaiting it then does not wait, and cancelling does not undo it. Above, it waits until a quarter is
        left; if cancelled while waiting, nothing was queued. The first message of a turn of the event loop is written
        to the socket at once, so it leaves before a computation that follows; the rest leaves together at the end of
        the turn. Cost: one copy of the payload.

        A message of any size can be sent: one of more than ``limits.output`` bytes goes out in parts, a frame each, from
        the caller's own memory as the peer reads, and a piece of 256 KiB at a time is copied. Other messages wait for
        its end, pings and pongs pass between; cancelling it in the middle closes the connection with 1011. A
        ``bytearray`` or another buffer must not be changed until ``send()`` returns.

        Args:
            message: a text frame if ``str``, a binary frame if bytes-like. An iterable or asynchronous iterable of
                either is sent as one message in parts, a frame each; other messages wait for its end, and leaving it
                half sent (an exception, a cancellation) closes the connection with 1011. An empty one sends nothing.
            text: ``True`` sends bytes as text, ``False`` sends text as binary; ``None`` goes by the type.

        Raises:
            ConnectionClosed: the closing handshake has begun: nothing was queued, or the connection ended within a message
                that goes in parts.
            TypeError: it is no message: a mapping, a number, or an iterable of different types.
            ValueError: ``text=True``, and the bytes are not UTF-8; nothing was queued.
        """

    def send_nowait(self, message: str | Buffer, *, text: bool | None = None, flush: bool = False) -> None:
        """Queue one message without waiting: for callbacks, and for programs that watch :attr:`write_buffer_size`.

        RFC 6455 §5.6, §6.1. The first message of a turn of the event loop is written to the socket at once, the rest at
        the end of the turn. Cost: one copy of the payload.

        Args:
            message: a text frame if ``str``, a binary frame if bytes-like.
            text: ``True`` sends bytes as text, ``False`` sends text as binary; ``None`` goes by the type.
            flush: write what is queued to the socket now.

        Raises:
            ConnectionClosed: the closing handshake has begun; nothing was queued.
            LimitExceeded: the peer does not read, and the message does not fit into ``limits.output`` any more; nothing
                was queued, and the connection stays open.
            TypeError: the message is neither text nor bytes-like.
            UsageError: a message in parts (an iterable, or more than ``limits.output``) is being sent, or this is not the
                thread of the connection's event loop.
            ValueError: ``text=True``, and the bytes are not UTF-8; nothing was queued.
        """

    @property
    def write_buffer_size(self) -> int:
        """Bytes of output that wait for the peer: none once the kernel took them, or the connection is closed."""

    # Callback style

    on_message: Callable[[Self, str | bytes], None] | None
    """What is called with the connection and each message, instead of receiving; ``None`` for nothing.

    The fastest way to handle messages: a plain function, run within the turn that read them, in the context
    (:mod:`contextvars`) in which it was set. It must not block; an exception in it goes to the event loop's
    exception handler and closes the connection with 1011. Messages that waited when it was set are handed to it
    first. Whoever would wait in ``recv()`` meanwhile gets a :exc:`UsageError`; so does who sets it while a task waits there.
    """

    def pause(self) -> None:
        """Stop handing out messages to :attr:`on_message`, and stop reading: TCP slows the peer down.

        What was read already waits, bounded by ``limits.queue_messages`` and ``limits.queue_bytes``. No peer is given
        up for
        want of a pong meanwhile: it may lie unread. Pausing twice is pausing once.

        Raises:
            UsageError: the connection is not connected yet, or this is another thread.
        """

    def resume(self) -> None:
        """Read again after :meth:`pause`; messages that came before are handed out first, in order.

        Raises:
            UsageError: the connection is not connected yet, or this is another thread.
        """

    # The end

    def abort(self) -> None:
        """End the connection at once, without a closing handshake: the peer sees 1006 (RFC 6455 §7.1.7).

        Queued output is dropped. Receivers get what came before, then :exc:`~everwire.ConnectionClosedError`. Does
        nothing on a closed connection.

        Raises:
            UsageError: this is not the thread of the connection's event loop.
        """

    # For the package

    @property
    def _state(self) -> int:
        """0 connecting, 1 open, 2 closing, 3 closed."""

    _parsed_request: Any
    """The request as Python has read it, or ``None``; the engine only keeps it."""

    @property
    def _loop(self) -> Any:
        """The event loop that the connection belongs to."""

    @property
    def _heartbeat_latency(self) -> float:
        """Round trip of the last answered heartbeat in seconds, 0.0 before the first."""

    def _recv_part(self) -> Coroutine[Any, Any, tuple[str | bytes, bool]]:
        """Receive a part of a message, and whether it is the last."""

    def _set_streaming(self, on: bool) -> None:
        """Hand messages out in parts from now on, or whole again."""

    def _skip_parts(self) -> None:
        """Drop what is still to come of a message that was read in parts."""

    def _send_whole(self, message: str | Buffer, text: bool | None) -> bool:
        """Queue a message of somebody who has waited; false if it is too large to be copied and goes in parts."""

    def _send_piece(self, part: str | Buffer, text: bool, fin: bool, start: int) -> int:
        """Queue as much of a part as may be copied at once; where the next piece begins, 0 at the end, -1 when closing."""

    def _is_full(self) -> bool:
        """Whether output is above the high-water mark; ``_on_drained()`` will be called when it has fallen."""

    def _ping(self, data: str | Buffer) -> bool:
        """Queue a ping; false if the connection is closing."""

    def _pong(self, data: str | Buffer) -> bool:
        """Queue a pong; false if the connection is closing."""

    def _close(self, code: int, reason: str) -> bool:
        """Begin the closing handshake; false if it goes on already."""

    def _client(self) -> tuple[str, int] | None:
        """The client's address, as far as proxies can be trusted; ``None`` for Unix sockets."""

    def _fileno(self) -> int | None:
        """The descriptor of the socket, if the engine has one."""

    def _tls(self) -> TLSSession | None:
        """What was agreed with the peer; ``None`` if TLS is not in the engine."""

    def _wait_for_end(self, on: bool) -> None:
        """Begin or cease to wait for the end: a program that does nothing else need not take messages."""

    def _ssl_driver(self) -> Driver | None:
        """Who does its TLS with an :class:`ssl.SSLContext`; ``None`` if nobody does."""

@final
class Shard:
    """The sockets of one event loop, which watches it and runs it. Everything happens in the loop's thread."""

    def __new__(cls, event_loop: Any) -> Self: ...
    @property
    def is_usable(self) -> bool:
        """Whether the calling thread and process may use it."""

    @property
    def connections(self) -> int:
        """How many connections there are, handshakes and closing ones included."""

    def metrics(self) -> dict[str, int]:
        """Counters since the shard began."""

    def listen(self, fd: int, settings: Settings, endpoint: ServerEndpoint) -> int:
        """Accept connections on a listening socket, whose descriptor it takes over; returns the listener's number.

        Raises:
            OSError: the descriptor cannot be watched.
        """

    def stop_listening(self, listener: int) -> None:
        """Stop accepting; connections stay."""

    def refuse_opening(self, listener: int) -> None:
        """Answer every handshake of a listener that is still under way with 503."""

    def connect(
        self,
        connection: Connection,
        fd: int,
        offer: Offer,
        endpoint: Endpoint,
        tls: ClientTLS | Driver | None = None,
        server_name: str | None = None,
    ) -> None:
        """Begin a client's handshake on a connected socket, whose descriptor it takes over; the connection is told of it.

        Raises:
            UsageError: a field that must not be sent, or a name that no certificate can be for.
        """

    def judge(self, connection: Connection) -> Judgement | None:
        """What becomes of a waiting request if only the rules decide; ``None`` if none waits any more."""

    def accept(self, connection: Connection, subprotocol: str | None, fields: list[tuple[str, str]]) -> None:
        """Answer a waiting request as the rules demand, and with these fields.

        Raises:
            UsageError: a field that must not be sent; the request still waits.
        """

    def respond(
        self, connection: Connection, status: int, reason: str | None, fields: list[tuple[str, str]], body: bytes
    ) -> None:
        """Answer a waiting request with an ordinary response.

        Raises:
            UsageError: a field that must not be sent; the request still waits.
        """

    def broadcast(self, connections: Iterable[Connection], data: str | Buffer, text: bool | None) -> list[Connection]:
        """Send one message to many connections, encoded once; returns those that missed it.

        Raises:
            UsageError: an open connection belongs to another event loop.
        """

    def _on_ready(self) -> None:
        """Run a turn because a socket is ready, unless one is about to run."""

    def _run(self) -> None:
        """Run a turn that was left over for the loop's next iteration."""

    def _on_timer(self) -> None:
        """Run a turn because a deadline has come."""

    def _on_probe(self) -> None:
        """Run a turn if one lasts, from within which the loop is run."""

@final
class Settings:
    """What a listener or connection is made with; never changed."""

    def __new__(cls, options: dict[str, Any]) -> Self:
        """Read settings as :mod:`everwire.settings` writes them.

        Raises:
            UsageError: a value that has no sense; the text names the option.
        """

@final
class Offer:
    """What a client asks for in its opening handshake; never changed."""

    def __new__(cls, settings: Settings, host: str, target: str, fields: list[tuple[str, str]]) -> Self:
        """Whom (the ``Host`` field) and where, and what else the request says; whether it may be sent is judged when it
        is."""

@final
class Judgement:
    """What the rules of the protocol say about a request."""

    @property
    def subprotocols(self) -> list[str] | None:
        """Those that it offers; ``None`` if it is refused."""

    @property
    def status(self) -> int:
        """101, or that of the refusal."""

    @property
    def text(self) -> str:
        """Why it is refused, for the client."""

    @property
    def fields(self) -> list[tuple[str, str]]:
        """Fields of the refusal."""

@final
class Cause:
    """Why something ended that should have gone on."""

    @property
    def kind(self) -> str:
        """``"eof"``, ``"io"``, ``"tls"``, ``"protocol"``, ``"limit"``, ``"refused"``, ``"timeout"``, ``"aborted"`` or
        ``"defect"``."""

    @property
    def text(self) -> str:
        """For people."""

    @property
    def number(self) -> int:
        """The HTTP status (``"refused"``), the system's number of the error (``"io"``), else 0."""

@final
class Ending:
    """How a connection ended."""

    @property
    def received(self) -> tuple[int | None, str] | None:
        """Code and reason of the peer's close frame; no code if it had none."""

    @property
    def sent(self) -> tuple[int | None, str] | None:
        """Those of ours."""

    @property
    def received_first(self) -> bool:
        """Whether the peer's came before ours."""

    @property
    def cause(self) -> Cause | None:
        """Why there was no complete closing handshake."""

@final
class Failure:
    """How an opening handshake failed."""

    @property
    def cause(self) -> Cause:
        """Whose fault, and what it was."""

    @property
    def head(self) -> bytes | None:
        """The server's answer, for a client that got one."""

    @property
    def body(self) -> bytes:
        """What came of the answer's body."""

@final
class TLSSession:
    """What TLS agreed on with the peer."""

    @property
    def version(self) -> str | None:
        """Such as ``"TLSv1.3"``."""

    @property
    def cipher(self) -> str | None:
        """The cipher suite."""

    @property
    def alpn(self) -> str | None:
        """The protocol that ALPN chose."""

    @property
    def server_name(self) -> str | None:
        """The name that the client asked for."""

    @property
    def peer_certificate(self) -> bytes | None:
        """DER."""

@final
class ServerTLS:
    """A server's certificate and policy, from PEM."""

    def __new__(
        cls,
        certificate: bytes,
        key: bytes,
        password: bytes | None = None,
        client_ca: bytes | None = None,
        client_optional: bool = False,
    ) -> Self:
        """Read a certificate and its key.

        Raises:
            ValueError: they cannot be used; the text says why.
        """

    def reload(
        self,
        certificate: bytes,
        key: bytes,
        password: bytes | None = None,
        client_ca: bytes | None = None,
        client_optional: bool = False,
    ) -> None:
        """Use others for new connections; open ones stay as they are.

        Raises:
            ValueError: they cannot be used; the old ones stay.
        """

@final
class ClientTLS:
    """Whom a client trusts, and who it is, from PEM."""

    def __new__(
        cls,
        trust: bytes | None = None,
        verify: bool = True,
        certificate: bytes | None = None,
        key: bytes | None = None,
        password: bytes | None = None,
        check_hostname: bool = True,
    ) -> Self:
        """Read what is trusted: the system's roots, if nothing is given.

        Raises:
            ValueError: something cannot be used; the text says why.
        """

def limits() -> list[tuple[str, int, str, str]]:
    """The table of limits: name, default, unit, reason."""

def memory_held() -> int:
    """Bytes that all connections of this process hold in the engine's buffers."""

def origin(text: str) -> str:
    """An origin as a browser writes it, for comparison (RFC 6454 §6.2).

    Raises:
        UsageError: it is none.
    """

def request_head(connection: Connection) -> bytes | None:
    """The request as it went over the wire; ``None`` once it was dropped."""

def response_head(connection: Connection) -> bytes | None:
    """What a server answered, as it came; ``None`` once it was dropped."""

def agreed_extension(connection: Connection) -> str | None:
    """The extensions that a server agrees on, as its response names them; ``None`` once the request was dropped."""

def drop_request(connection: Connection) -> None:
    """Free what the engine keeps of the request."""

def drop_response(connection: Connection) -> None:
    """Free what the engine keeps of the response."""

def forked() -> None:
    """Take note, in a forked child, that the parent's sockets are not the child's."""

@final
class Body:
    """The body of an answer that does not come through the engine, read as the engine reads it.

    Args:
        head: of the answer, with its empty line.
        limit: bytes of the body that are kept at most.
    """

    def __new__(cls, head: bytes, limit: int) -> Body: ...
    @property
    def data(self) -> bytes:
        """What came of it."""

    def take(self, data: bytes) -> bool:
        """Take what came; whether nothing more is wanted."""

@type_check_only
class Endpoint(Protocol):
    """Whom a shard tells what becomes of a connection's opening handshake."""

    def opened(self, connection: Any, /) -> None:
        """It has succeeded."""

    def failed(self, connection: Any, failure: Failure, /) -> None:
        """It has not; a server's connection that was never shown to Python is ``None``."""

@type_check_only
class ServerEndpoint(Endpoint, Protocol):
    """Whom a shard tells about the connections that a listener accepts."""

    def make(self) -> Connection:
        """Make the Python object of a connection."""

    def make_driver(self) -> Driver:
        """Make what does a connection's TLS, if the settings have ``has_driver``."""

    def request(self, connection: Any, /) -> None:
        """There is a request to be answered, if the settings have ``asks``."""

    def withdrawn(self, connection: Any, /) -> None:
        """The request needs no answer any more."""

    def starved(self, text: str, /) -> None:
        """The system does not let the listener accept for now."""

@type_check_only
class Driver(Protocol):
    """Who does the TLS of a connection whose socket is in the engine."""

    ssl_object: ssl.SSLObject
    """What programs ask about certificates and ciphers."""
    is_open: bool
    """The handshake is done."""
    is_closed: bool
    """The peer has said goodbye."""

    def unwrap(self, data: bytes, /) -> bytes:
        """Take ciphertext, and return the plaintext that is complete."""

    def wrap(self, data: bytes, last: bool, /) -> None:
        """Encrypt plaintext, and say goodbye behind it if it is the last."""

    def outgoing(self) -> bytes:
        """Take the ciphertext that is to be sent."""
