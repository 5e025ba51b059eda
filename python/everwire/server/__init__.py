"""Serving: ``serve()``, the server and its connections, and what a program decides about who gets in."""

from .basic_auth import basic_auth
from .connection import ServerConnection
from .serve import SERVER, serve, unix_serve
from .server import Server

__all__ = [
    "SERVER",
    "Server",
    "ServerConnection",
    "basic_auth",
    "serve",
    "unix_serve",
]
