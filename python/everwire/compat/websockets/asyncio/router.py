"""``websockets.asyncio.router``: handlers by path, with the URL maps of Werkzeug, if that is installed."""

from __future__ import annotations

import http
import importlib
import inspect
import os
import socket
import ssl as ssl_module
from collections.abc import Callable, Sequence
from typing import Any, Unpack

from ....http import Request, Response
from ....server import serve as serving
from ....tls import TLS
from .server import ServeOptions, ServerConnection, serve

__all__ = ["Router", "route", "unix_route"]


def route(
    url_map: Any,
    host: str | Sequence[str] | None = None,
    port: int | None = None,
    *,
    server_name: str | None = None,
    ssl: TLS | ssl_module.SSLContext | bool | None = None,
    create_router: Callable[..., Router] | None = None,
    unix: bool = False,
    path: str | os.PathLike[str] | None = None,
    sock: socket.socket | None = None,
    **options: Unpack[ServeOptions],
) -> serving:
    """Serve with a handler for each path: the arguments are those of ``serve()``, but for the first.

    Args:
        url_map: a ``werkzeug.routing.Map`` whose endpoints are handlers; what it captures comes as keyword arguments.
        server_name: the host in redirects, if a proxy changes the ``Host`` field.
        ssl: as in ``serve()``; ``True`` if a proxy in front has TLS, so that redirects lead to ``wss://``.
        create_router: makes the :class:`Router`.

    Raises:
        ImportError: Werkzeug is not installed.
    """
    try:
        importlib.import_module("werkzeug.routing")
    except ImportError:
        raise ImportError("route() requires werkzeug") from None
    router = (create_router or Router)(url_map, server_name, "ws" if ssl is None else "wss")
    own = options.get("process_request")

    async def process_request(connection: ServerConnection, request: Request) -> Response | None:
        response: Response | None = None
        if own is not None:
            answer: Any = own(connection, request)
            response = await answer if inspect.isawaitable(answer) else answer
        return router.route_request(connection, request) if response is None else response

    options["process_request"] = process_request
    return serve(
        router.handler,
        host,
        port,
        unix=unix,
        path=path,
        ssl=None if isinstance(ssl, bool) else ssl,
        sock=sock,
        **options,
    )


class UnixRouteOptions(ServeOptions, total=False):
    """What :func:`unix_route` takes."""

    server_name: str | None
    ssl: TLS | ssl_module.SSLContext | bool | None
    create_router: Callable[..., Router] | None
    sock: socket.socket | None


def unix_route(
    url_map: Any, path: str | os.PathLike[str] | None = None, **options: Unpack[UnixRouteOptions]
) -> serving:
    """Serve with a handler for each path on a Unix socket: see :func:`route` and ``unix_serve()``."""
    return route(url_map, unix=True, path=path, **options)


class Router:
    """Finds the handler for a request."""

    def __init__(self, url_map: Any, server_name: str | None = None, url_scheme: str = "ws") -> None:
        self.url_map = url_map
        self.server_name = server_name
        self.url_scheme = url_scheme
        for rule in url_map.iter_rules():
            rule.websocket = True

    def get_server_name(self, connection: ServerConnection, request: Request) -> str:
        """The host that redirects lead to."""
        return request.headers["Host"] if self.server_name is None else self.server_name

    def redirect(self, connection: ServerConnection, url: str) -> Response:
        """The answer that leads elsewhere."""
        response = connection.respond(http.HTTPStatus.FOUND, f"Found at {url}")
        response.headers["Location"] = url
        return response

    def not_found(self, connection: ServerConnection) -> Response:
        """The answer to a path that nobody handles."""
        return connection.respond(http.HTTPStatus.NOT_FOUND, "Not Found")

    def route_request(self, connection: ServerConnection, request: Request) -> Response | None:
        """Choose the handler, or answer."""
        exceptions = importlib.import_module("werkzeug.exceptions")
        routing = importlib.import_module("werkzeug.routing")
        if len(request.headers.get_all("Host")) != 1:
            return None  # no handshake: the server refuses it, and says why
        path, _, query = request.path.partition("?")
        if not path.startswith("/"):
            # The absolute form (RFC 9112 §3.2.2): what is behind the host, if anything is.
            path = "/" + "".join(path.split("/", 3)[3:])
        try:
            adapter = self.url_map.bind(self.get_server_name(connection, request), url_scheme=self.url_scheme)
            handler, arguments = adapter.match(path_info=path, query_args=query)
        except exceptions.BadHost:
            return connection.respond(http.HTTPStatus.BAD_REQUEST, '"Host" is not a host name')
        except routing.RequestRedirect as elsewhere:
            return self.redirect(connection, elsewhere.new_url)
        except exceptions.NotFound:
            return self.not_found(connection)
        connection.handler, connection.handler_kwargs = handler, arguments
        return None

    async def handler(self, connection: ServerConnection) -> None:
        """Run the handler that was chosen."""
        await connection.handler(connection, **connection.handler_kwargs)
