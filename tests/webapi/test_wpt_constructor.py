"""What the web platform's tests say of ``new WebSocket``: URLs, subprotocols, handshakes. Each test names theirs."""

from __future__ import annotations

import asyncio
import string
from typing import Any

import pytest
from peer.http import Head
from peer.server import RawServer, answer

from everwire import HandshakeFailed, UsageError
from everwire.browser import CloseEvent, WebSocket

TOKEN = set(string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~")


async def failed(ws: WebSocket) -> CloseEvent:
    """Wait for the end of one that must not open."""
    events: list[str] = []
    for kind in ("open", "message", "error"):
        ws.add_event_listener(kind, lambda event: events.append(event.type))
    closed = await ws.wait_closed()
    assert events == ["error"]
    assert (closed.code, closed.reason, closed.was_clean) == (1006, "", False)
    return closed


class TestUrls:
    @pytest.mark.parametrize("url", ["test", "?", "/test", "//example.com/", "", "ws", "example.com/ws"])
    async def test_a_relative_one_is_refused(self, url: str) -> None:
        """WPT: websockets/Create-non-absolute-url.any.js, which completes it with the page's: there is no page."""
        with pytest.raises(UsageError, match="absolute"):
            WebSocket(url)

    @pytest.mark.parametrize("url", [None, 123, b"ws://example.com/"])
    async def test_what_is_no_text_is_no_url(self, url: Any) -> None:
        with pytest.raises(TypeError):
            WebSocket(url)

    async def test_none_is_refused(self) -> None:
        """WPT: websockets/constructor/001.html"""
        with pytest.raises(TypeError):
            WebSocket()  # type: ignore[call-arg]

    @pytest.mark.parametrize(
        "url",
        [
            "ws://foo bar.com/",
            "wss://foo bar.com/",
            "ftp://127.0.0.1/",
            "mailto:example@example.org",
            "about:blank",
            "ws://127.0.0.1/#",
            "ws://127.0.0.1/#test",
            "#test",
        ],
    )
    async def test_one_that_leads_nowhere_is_refused(self, url: str) -> None:
        """WPT: websockets/Create-invalid-urls.any.js"""
        with pytest.raises(UsageError):
            WebSocket(url)

    async def test_a_space_in_the_host_is_refused(self) -> None:
        """WPT: websockets/Create-url-with-space.any.js"""
        with pytest.raises(UsageError, match="' ' must not be"):
            WebSocket("ws://web platform.test/echo")

    @pytest.mark.parametrize("scheme", ["http", "https", "HTTP", "ws", "wss"])
    async def test_http_becomes_ws(self, scheme: str) -> None:
        """WPT: websockets/Create-http-urls.any.js"""
        ws = WebSocket(f"{scheme}://127.0.0.1:1/")
        assert ws.url == f"{scheme.lower().replace('http', 'ws')}://127.0.0.1:1/"
        ws.close()

    async def test_the_slash_of_the_root_is_added(self) -> None:
        """WPT: websockets/interfaces/WebSocket/url/001.html"""
        assert WebSocket("ws://127.0.0.1:1").url == "ws://127.0.0.1:1/"

    async def test_it_cannot_be_set(self) -> None:
        """WPT: websockets/interfaces/WebSocket/url/002.html"""
        ws = WebSocket("ws://127.0.0.1:1/")
        with pytest.raises(AttributeError):
            ws.url = "ws://example.com/"  # type: ignore[misc]

    async def test_it_cannot_be_deleted(self) -> None:
        """WPT: websockets/interfaces/WebSocket/url/003.html"""
        ws = WebSocket("ws://127.0.0.1:1/")
        with pytest.raises(AttributeError):
            del ws.url  # type: ignore[misc]

    async def test_there_is_no_other_name_for_it(self) -> None:
        """WPT: websockets/interfaces/WebSocket/url/004.html"""
        assert not hasattr(WebSocket("ws://127.0.0.1:1/"), "URL")

    async def test_it_is_resolved(self) -> None:
        """WPT: websockets/interfaces/WebSocket/url/resolve.html"""
        assert WebSocket("ws://127.0.0.1:1/echo?foo%20bar baz").url == "ws://127.0.0.1:1/echo?foo%20bar%20baz"

    @pytest.mark.parametrize("port", [80, 443])
    @pytest.mark.parametrize("scheme", ["ws", "wss"])
    async def test_ports_of_the_web_are_fine(self, scheme: str, port: int) -> None:
        """WPT: websockets/constructor/008.html"""
        WebSocket(f"{scheme}://example.invalid:{port}/").close()

    async def test_the_schemes_own_port_is_left_out(self) -> None:
        """WPT: websockets/Create-verify-url-set-non-default-port.any.js"""
        assert WebSocket("ws://127.0.0.1:80/").url == "ws://127.0.0.1/"
        assert WebSocket("wss://127.0.0.1:443/").url == "wss://127.0.0.1/"
        assert WebSocket("wss://127.0.0.1:80/").url == "wss://127.0.0.1:80/"

    @pytest.mark.parametrize("slashes", ["", "/", "///", "\\\\"])
    async def test_too_few_slashes_and_too_many(self, home: Any, slashes: str) -> None:
        """WPT: websockets/constructor/017.html"""
        ws = WebSocket(home.url.replace("//", slashes) + "/echo")
        assert ws.url == home.url + "/echo"
        async with ws:
            pass

    async def test_a_null_in_the_query(self, site: Any, until: Any) -> None:
        """WPT: websockets/constructor/018.html"""
        ws = site.open("/echo-query?x\0y\0")
        assert (await until(ws, "message")).data == "x%00y"
        ws.close()

    async def test_the_query_is_utf_8(self, site: Any, until: Any) -> None:
        """WPT: websockets/constructor/016.html, websockets/Create-url-with-windows-1252-encoding.html"""
        ws = site.open("/echo-query?åäö")
        assert (await until(ws, "message")).data == "%C3%A5%C3%A4%C3%B6"
        ws.close()

    async def test_a_scheme_in_capitals(self, site: Any) -> None:
        """WPT: websockets/constructor/019.html"""
        async with WebSocket(site.url.replace("ws", "WS") + "/echo") as ws:
            assert ws.url == site.url + "/echo"

    async def test_a_host_in_capitals(self, site: Any) -> None:
        """WPT: websockets/constructor/020.html"""
        async with WebSocket(site.url.replace("127.0.0.1", "LOCALHOST") + "/echo", host="127.0.0.1") as ws:
            assert ws.url == site.url.replace("127.0.0.1", "localhost") + "/echo"

    async def test_what_can_be_text_is(self, site: Any, until: Any) -> None:
        """WPT: websockets/constructor/006.html"""

        class Link:
            def __str__(self) -> str:
                return f"{site.url}/echo"

        ws = WebSocket(Link())  # type: ignore[arg-type]
        ws.on_open = lambda _: ws.send("test")
        assert (await until(ws, "message")).data == "test"
        ws.close()
        assert (await ws.wait_closed()).was_clean

    async def test_a_user_in_it_is_sent(self, site: Any, until: Any) -> None:
        """WPT: websockets/basic-auth.any.js"""
        ws = WebSocket(site.url.replace("//", "//foo:bar@") + "/header?Authorization")
        assert (await until(ws, "message")).data == "Basic Zm9vOmJhcg=="
        ws.close()


class TestSubprotocols:
    @pytest.mark.parametrize("character", [chr(code) for code in range(0x100) if chr(code) not in TOKEN])
    async def test_only_tokens_are_names(self, character: str) -> None:
        """WPT: websockets/constructor/004.html, websockets/constructor/007.html, websockets/Create-asciiSep-protocol-string.any.js,
        websockets/Create-protocol-with-space.any.js, websockets/Create-nonAscii-protocol-string.any.js"""
        with pytest.raises(UsageError, match="must not be in it"):
            WebSocket("ws://127.0.0.1:1/", f"a{character}b")

    async def test_every_character_of_tokens_will_do(self) -> None:
        WebSocket("ws://127.0.0.1:1/", "".join(sorted(TOKEN))).close()

    async def test_an_empty_one_is_none(self) -> None:
        """WPT: websockets/constructor/004.html"""
        with pytest.raises(UsageError, match="empty"):
            WebSocket("ws://127.0.0.1:1/", "")

    @pytest.mark.parametrize("names", [["echo", "echo"], ["a", "b", "a"]])
    async def test_none_is_given_twice(self, names: list[str]) -> None:
        """WPT: websockets/Create-protocols-repeated.any.js"""
        with pytest.raises(UsageError, match="twice"):
            WebSocket("ws://127.0.0.1:1/", names)

    async def test_none_is_given_twice_in_different_case(self) -> None:
        """WPT: websockets/Create-protocols-repeated-case-insensitive.any.js"""
        with pytest.raises(UsageError, match="twice"):
            WebSocket("ws://127.0.0.1:1/", ["echo", "eCho"])

    async def test_two_in_one_are_none(self) -> None:
        """WPT: websockets/constructor/021.html"""
        with pytest.raises(UsageError):
            WebSocket("ws://127.0.0.1:1/", ["foobar, foobar"])

    async def test_what_is_no_text_is_no_name(self) -> None:
        with pytest.raises(TypeError):
            WebSocket("ws://127.0.0.1:1/", [1])  # type: ignore[list-item]

    async def test_it_is_empty_at_first(self, home: Any) -> None:
        """WPT: websockets/interfaces/WebSocket/protocol/protocol-initial.html, websockets/Create-valid-url-protocol-empty.any.js"""
        ws = home.open("/echo", "echo")
        assert ws.protocol == ""
        with pytest.raises(AttributeError):
            ws.protocol = "echo"

    async def test_one_is_agreed(self, site: Any, until: Any) -> None:
        """WPT: websockets/constructor/009.html, websockets/Create-valid-url-protocol-setCorrectly.any.js,
        websockets/Create-valid-url-protocol-string.any.js, websockets/Create-valid-url-protocol.any.js"""
        ws = site.open("/protocol", "foobar")
        assert (await until(ws, "message")).data == "foobar" == ws.protocol
        ws.close()
        assert (await ws.wait_closed()).was_clean

    async def test_one_of_several_is_agreed(self, site: Any, until: Any) -> None:
        """WPT: websockets/constructor/022.html, websockets/Create-valid-url-array-protocols.any.js"""
        ws = site.open("/protocol", ["foobar", "foobar2"])
        assert (await until(ws, "message")).data == "foobar" == ws.protocol
        ws.close()

    @pytest.mark.parametrize("options", [{}, {"protocols": ["foobar", "foobar2"]}])
    async def test_a_bag_of_options(self, site: Any, until: Any, options: dict[str, Any]) -> None:
        """WPT: websockets/constructor/option-bag.any.js"""
        ws = site.open("/protocol", options)
        assert (await until(ws, "message")).data == (ws.protocol or "none") == ("foobar" if options else "none")
        ws.close()


class TestConstructor:
    async def test_it_makes_one(self, home: Any) -> None:
        """WPT: websockets/constructor/005.html"""
        assert isinstance(home.open(), WebSocket)

    async def test_a_stray_argument_is_a_mistake(self) -> None:
        """WPT: websockets/constructor.any.js, websockets/constructor/third-param-ignored.any.js, which ignore it"""
        with pytest.raises(TypeError):
            WebSocket("ws://127.0.0.1:1/", "echo", "Stray argument")  # type: ignore[call-arg]

    async def test_many_at_once(self, site: Any) -> None:
        """WPT: websockets/constructor/013.html"""
        events: list[tuple[int, str]] = []

        def listen(ws: WebSocket, number: int) -> None:
            ws.on_open = lambda _: (events.append((number, "open")), ws.send(str(number)))
            ws.on_message = lambda event: (events.append((number, event.data)), ws.close())
            ws.on_close = lambda _: events.append((number, "close"))
            ws.on_error = lambda _: events.append((number, "error"))

        sockets = [site.open() for _ in range(25)]
        for number, ws in enumerate(sockets):
            listen(ws, number)
        await asyncio.gather(*(ws.wait_closed() for ws in sockets))
        for number in range(25):
            assert [what for who, what in events if who == number] == ["open", str(number), "close"]

    async def test_a_good_url_opens(self, site: Any, until: Any) -> None:
        """WPT: websockets/Create-valid-url.any.js, websockets/interfaces/WebSocket/readyState/006.html"""
        ws = site.open()
        await until(ws, "open")
        assert ws.ready_state == ws.OPEN == 1
        ws.close()
        assert (await ws.wait_closed()).was_clean

    async def test_under_tls(self, secure: Any, until: Any) -> None:
        """WPT: websockets/Create-valid-url.any.js?wss, websockets/Send-data.any.js?wss, websockets/Close-1000-reason.any.js?wss"""
        ws = secure.open()
        ws.on_open = lambda _: ws.send("test")
        message = await until(ws, "message")
        assert (message.data, message.origin) == ("test", secure.url)
        ws.close(1000, "Clean Close")
        closed = await ws.wait_closed()
        assert (closed.code, closed.reason, closed.was_clean) == (1000, "Clean Close", True)

    async def test_an_authority_that_is_unknown_is_not_trusted(self, secure: Any) -> None:
        ws = WebSocket(secure.url + "/echo")
        await failed(ws)

    async def test_the_last_thing_in_a_host_that_does_not_exist_is_an_error(self, until: Any) -> None:
        """WPT: websockets/interfaces/WebSocket/events/020.html"""
        ws = WebSocket("ws://does-not-exist.invalid/")
        assert isinstance((await until(ws, "error")).error, OSError)


class TestHandshake:
    @staticmethod
    def saying(*fields: str, **options: Any) -> RawServer:
        async def behavior(client: Any, head: Head) -> None:
            client.write(answer(head, *fields, **options))
            await client.closed()

        return RawServer(behavior)

    async def test_what_is_no_answer_fails(self) -> None:
        """WPT: websockets/opening-handshake/001.html"""

        async def behavior(client: Any, head: Head) -> None:
            client.write(b"\r\n\r\n")

        async with RawServer(behavior) as server:
            await failed(WebSocket(server.url))

    async def test_a_good_one_is_closed_cleanly(self, site: Any, heard: Any) -> None:
        """WPT: websockets/opening-handshake/002.html"""
        ws = site.open()
        all_of_it = heard(ws)
        ws.add_event_listener("open", lambda _: ws.close())
        assert (await ws.wait_closed()).was_clean
        assert all_of_it.types == ["open", "close"]

    async def test_the_origin_of_a_message_is_the_servers(self, site: Any, until: Any) -> None:
        """WPT: websockets/opening-handshake/003.html"""
        ws = WebSocket(site.url.replace("127.0.0.1", "天気の良い日.LOCALHOST") + "/header?Host", host="127.0.0.1")
        message = await until(ws, "message")
        assert message.origin == site.url.replace("127.0.0.1", "xn--n8j6ds53lwwkrqhv28a.localhost")
        assert f"ws://{message.data}" == message.origin
        ws.close()

    async def test_a_close_frame_may_come_with_the_answer(self) -> None:
        """WPT: websockets/opening-handshake/005.html"""

        async def behavior(client: Any, head: Head) -> None:
            client.write(answer(head) + b"\x88\x06\x03\xe9PASS")
            await client.frame()

        async with RawServer(behavior) as server:
            ws = WebSocket(server.url)
            ws.on_message = lambda _: pytest.fail("there was no message")
            ws.on_open = lambda _: ws.close()
            closed = await ws.wait_closed()
        assert (closed.code, closed.reason, closed.was_clean) == (1001, "PASS", True)

    async def test_a_redirect_is_not_followed(self, home: Any) -> None:
        """WPT: websockets/opening-handshake/received-301-code.html"""

        async def behavior(client: Any, head: Head) -> None:
            client.write(f"HTTP/1.1 301 Moved\r\nLocation: {home.url}/echo\r\nContent-Length: 0\r\n\r\n".encode())

        async with RawServer(behavior) as server:
            await failed(WebSocket(server.url))
            assert home.paths == []
            async with WebSocket(server.url, max_redirects=1):
                assert home.paths == ["/echo"]

    async def test_one_attempt_after_another(self, home: Any) -> None:
        """WPT: websockets/opening-handshake/006.html"""

        async def behavior(client: Any, head: Head) -> None:
            client.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        async with RawServer(behavior) as server:
            for _ in range(3):
                await failed(WebSocket(server.url))
        async with home.open() as ws:
            pass
        assert (await ws.wait_closed()).was_clean

    async def test_a_subprotocol_that_nobody_asked_for_fails(self) -> None:
        """WPT: websockets/constructor/010.html"""
        async with self.saying("Sec-WebSocket-Protocol: foobar") as server:
            await failed(WebSocket(server.url))

    async def test_a_subprotocol_in_other_case_fails(self) -> None:
        """WPT: websockets/constructor/011.html"""
        async with self.saying("Sec-WebSocket-Protocol: foobar") as server:
            await failed(WebSocket(server.url, "FOOBAR"))

    async def test_no_subprotocol_fails_if_there_was_a_wish(self) -> None:
        """WPT: websockets/constructor/012.html"""
        async with self.saying() as server:
            ws = WebSocket(server.url, "foobar")
            await failed(ws)
            with pytest.raises(HandshakeFailed, match="none of the subprotocols foobar"):
                await ws

    async def test_no_extensions_are_an_empty_text(self, until: Any) -> None:
        """WPT: websockets/Create-extensions-empty.any.js, websockets/interfaces/WebSocket/extensions/001.html"""
        async with self.saying() as server:
            ws = WebSocket(server.url)
            assert ws.extensions == ""
            await until(ws, "open")
            assert ws.extensions == ""
            with pytest.raises(AttributeError):
                ws.extensions = "foo"  # type: ignore[misc]
            ws.close()

    async def test_extensions_are_what_was_agreed(self, site: Any) -> None:
        async with site.open() as ws:
            assert ws.extensions.startswith("permessage-deflate")
