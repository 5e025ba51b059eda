"""The two heads as Python reads them, whatever a stranger put into them."""

from __future__ import annotations

import pytest

from everwire.http import Headers, MultipleValuesError, Request, parse_response


class TestQuery:
    @pytest.mark.parametrize(
        ("path", "expected"),
        [
            ("/", {}),
            ("/?", {}),
            ("/?a=b&c=d", {"a": "b", "c": "d"}),
            ("/?a=b&a=c", {"a": "c"}),
            ("/?empty=&flag", {"empty": "", "flag": ""}),
            ("/?a=b?c=d", {"a": "b?c=d"}),
            ("/?name=Anna+%E2%88%BF", {"name": "Anna ∿"}),
            ("//[?t=y", {"t": "y"}),
            ("//[::1?t=y", {"t": "y"}),
            ("//evil.example]/?t=y", {"t": "y"}),
            ("http://localhost/?t=y", {"t": "y"}),
            ("http://[::1]?t=y", {"t": "y"}),
            ("/?%=%&%zz=%f&t=y", {"%": "%", "%zz": "%f", "t": "y"}),
            ("/?t=%ff%00%0d%0a", {"t": "�\0\r\n"}),
            ("/?t=[&[=]", {"t": "[", "[": "]"}),
            ("/?" + "&" * 8000 + "t=y", {"t": "y"}),
        ],
    )
    def test_it_is_what_follows_the_question_mark(self, path, expected):
        assert Request(path, Headers()).query == expected


class TestFields:
    def test_each_is_read_in_its_own_encoding(self):
        head = b"GET / HTTP/1.1\r\nX-Utf: Anna \xe2\x88\xbf\r\nX-Latin: caf\xe9\r\nCookie: name=\xc3\xa9\r\n\r\n"
        request = Request.parse(head)
        assert dict(request.headers.raw_items()) == {"X-Utf": "Anna ∿", "X-Latin": "café", "Cookie": "name=é"}
        assert request.cookies == {"name": "é"}

    def test_any_bytes_are_read(self):
        every = bytes(byte for byte in range(256) if byte not in b"\r\n")
        request = Request.parse(b"GET / HTTP/1.1\r\nX:" + every + b"\r\nY: z\r\n\r\n")
        assert request.headers["X"] == every.decode("latin-1")
        assert request.headers["Y"] == "z"

    def test_of_a_response_too(self):
        response = parse_response(b"HTTP/1.1 404 Ni\xc3\xa9\r\nX: \xe9\r\n\r\n", b"")
        assert (response.status_code, response.reason_phrase, response.headers["X"]) == (404, "Nié", "é")


class TestHeaders:
    def test_one_value_of_several_is_an_error_that_tells_where_it_was_looked_for(self):
        headers = Headers([("Origin", "a"), ("origin", "b")])
        for look in (headers.__getitem__, headers.get):
            with pytest.raises(MultipleValuesError) as raised:
                look("ORIGIN")
            assert raised.value.headers is headers
            assert raised.value.args == ("ORIGIN",)
        assert headers.get_all("Origin") == ["a", "b"]

    def test_any_text_goes_over_the_wire_as_the_engine_writes_it(self):
        assert Headers({"X": "Anna ∿"}).serialize() == "X: Anna ∿\r\n\r\n".encode()
