"""``connect.process_redirect``, which programs override to decide where to go."""

from __future__ import annotations

import pytest

import everwire
from everwire.compat.websockets import exceptions
from everwire.compat.websockets.asyncio.client import connect
from everwire.compat.websockets.asyncio.server import serve

SECRET = {"Authorization": "Bearer s3cret"}


def sending_to(location, status=302):
    """A hook that sends everybody elsewhere, but who asks for /there."""
    seen = []

    def hook(connection, request):
        seen.append(request)
        if request.path == "/there":
            return None
        response = connection.respond(status, "")
        if location is not None:
            response.headers["Location"] = location
        return response

    hook.seen = seen
    return hook


async def handler(connection):
    await connection.wait_closed()


def url(server, path="/"):
    return "ws://{}:{}".format(*server.sockets[0].getsockname()[:2]) + path


async def test_it_is_followed_by_default():
    async with serve(handler, "127.0.0.1", 0, process_request=sending_to("/there")) as server:
        async with connect(url(server)) as client:
            assert client.request.path == "/there"


async def test_a_redirect_may_be_refused():
    class Refusing(connect):
        def process_redirect(self, exc):
            return exc

    hook = sending_to("/there")
    async with serve(handler, "127.0.0.1", 0, process_request=hook) as server:
        with pytest.raises(exceptions.InvalidStatus) as raised:
            await Refusing(url(server))
    assert raised.value.response.status_code == 302
    assert len(hook.seen) == 1


async def test_another_exception_may_be_raised():
    class Raising(connect):
        def process_redirect(self, exc):
            return PermissionError("not there")

    async with serve(handler, "127.0.0.1", 0, process_request=sending_to("/there")) as server:
        with pytest.raises(PermissionError, match="not there") as raised:
            await Raising(url(server))
    assert isinstance(raised.value.__cause__, exceptions.InvalidStatus)


async def test_another_url_may_be_gone_to_even_after_a_refusal_that_is_no_redirect():
    asked = []

    class Elsewhere(connect):
        def process_redirect(self, exc):
            asked.append((self.uri, exc.response.status_code))
            return super().process_redirect(exc) if exc.response.status_code != 503 else self.uri + "there"

    async with serve(handler, "127.0.0.1", 0, process_request=sending_to(None, 503)) as server:
        async with Elsewhere(url(server)) as client:
            assert client.request.path == "/there"
        assert asked == [(url(server), 503)]


async def test_another_origin_gets_no_credentials_whoever_sends_us_there():
    there = sending_to(None)
    async with (
        serve(handler, "127.0.0.1", 0, process_request=there) as other,
        serve(handler, "127.0.0.1", 0, process_request=sending_to("/x")) as server,
    ):

        class Elsewhere(connect):
            def process_redirect(self, exc):
                return url(other, "/there")

        async with Elsewhere(url(server), additional_headers=SECRET):
            assert "Authorization" not in there.seen[0].headers


async def test_what_cannot_be_followed_is_raised_as_there():
    async with serve(handler, "127.0.0.1", 0, process_request=sending_to("ws://u:s3cret@elsewhere/")) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ValueError, match=r"cross-origin redirect to .* with an explicit host or port") as raised:
            await connect("ws://localhost/", host="127.0.0.1", port=port)
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize("kind", [connect, everwire.connect])
async def test_errors_about_urls_show_no_password(kind):
    for wrong in ("ws://user:s3cret@h/#f", "http://user:s3cret@h/", "ws://user:s3cret/x@h/"):
        with pytest.raises(everwire.UsageError) as raised:
            kind(wrong)
        assert "s3cret" not in str(raised.value)
