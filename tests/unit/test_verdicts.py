"""What a client does about each end: the table."""

from __future__ import annotations

import re
import socket
import ssl
from pathlib import Path

import pytest
import python_socks

from everwire import (
    Close,
    ConnectionClosedError,
    ConnectionClosedOK,
    HandshakeFailed,
    Headers,
    LimitExceeded,
    ProtocolError,
    Response,
    UsageError,
)
from everwire.client.verdicts import CLOSE_VERDICTS, Verdict, process_exception, verdict
from everwire.close import CODES

STOP, BACKOFF, NOW, TOKEN, SESSION = Verdict

BY_CODE = {
    STOP: [1000, 1002, 1003, 1007, 1008, 1009, 1010, 3000, 3003, 4000, 4001, 4003, 4013, 4099],
    BACKOFF: [1001, 1005, 1006, 1011, 1012, 1013, 1014, 1015, 3001, 3008, 3999, 4100, 4107, 4129, 4199, 4500, 4999],
    NOW: [4200, 4201, 4208, 4299],
    TOKEN: [4300, 4301, 4399],
    SESSION: [4400, 4401, 4499],
}
CASES = [pytest.param(code, expected, id=str(code)) for expected, codes in BY_CODE.items() for code in codes]


def refused(status: int) -> HandshakeFailed:
    return HandshakeFailed("refused", Response(status, "", Headers()))


def with_cause(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


class TestCloseCodes:
    @pytest.mark.parametrize(("code", "expected"), CASES)
    def test_of_the_peer(self, code: int, expected: Verdict) -> None:
        both = Close(code), Close(code)
        assert verdict(ConnectionClosedError(*both, rcvd_then_sent=True)) is expected
        assert verdict(ConnectionClosedError(Close(code), None)) is expected

    @pytest.mark.parametrize(("code", "expected"), CASES)
    def test_of_ours_whatever_the_peer_answers(self, code: int, expected: Verdict) -> None:
        assert verdict(ConnectionClosedError(Close(1000), Close(code), rcvd_then_sent=False)) is expected
        assert verdict(ConnectionClosedError(None, Close(code))) is expected

    def test_none_at_all_is_a_lost_connection(self) -> None:
        assert verdict(ConnectionClosedError(None, None)) is BACKOFF

    def test_a_planned_end_is_judged_by_its_code_too(self) -> None:
        assert verdict(ConnectionClosedOK(Close(1000), Close(1000), True)) is STOP
        assert verdict(ConnectionClosedOK(Close(1001), Close(1001), True)) is BACKOFF

    def test_every_code_with_a_name_has_a_verdict(self) -> None:
        assert CODES.keys() <= CLOSE_VERDICTS.keys()


@pytest.mark.parametrize(
    ("expected", "statuses"),
    [
        (STOP, [200, 204, 301, 302, 400, 401, 403, 404, 405, 407, 410, 413, 414, 421, 426, 431, 451, 501, 505]),
        (BACKOFF, [408, 425, 429, 500, 502, 503, 504, 507, 511, 520, 521, 522, 523, 524, 525, 530, 599]),
    ],
    ids=["stop", "back-off"],
)
def test_statuses(expected: Verdict, statuses: list[int]) -> None:
    assert {status: verdict(refused(status)) for status in statuses} == dict.fromkeys(statuses, expected)


@pytest.mark.parametrize(
    "error",
    [
        OSError(111, "refused"),
        ssl.SSLEOFError(8, "ended"),
        ConnectionResetError(),
        TimeoutError(),
        socket.gaierror(socket.EAI_AGAIN, "temporary"),
        with_cause(HandshakeFailed("hung up"), EOFError()),
    ],
    ids=repr,
)
def test_what_the_network_does_is_tried_again(error: Exception) -> None:
    assert verdict(error) is BACKOFF
    assert process_exception(error) is None


@pytest.mark.parametrize(
    "error",
    [
        with_cause(HandshakeFailed("certificate"), ssl.SSLError(1, "expired")),
        ssl.SSLCertVerificationError(1, "expired"),
        with_cause(HandshakeFailed("bad accept"), ProtocolError("accept")),
        HandshakeFailed("no HTTP"),
        UsageError("wrong"),
        LimitExceeded("large"),
        ValueError("a defect of the program"),
    ],
    ids=repr,
)
def test_what_would_only_happen_again_is_final(error: Exception) -> None:
    assert verdict(error) is STOP
    assert process_exception(error) is error


class TestProxies:
    @pytest.mark.parametrize(
        ("status", "expected"), [(407, STOP), (403, STOP), (502, BACKOFF), (503, BACKOFF), (504, BACKOFF)]
    )
    def test_an_http_proxy_is_judged_as_a_server_is(self, status: int, expected: Verdict) -> None:
        answer = Response(status, "", Headers())
        assert verdict(HandshakeFailed("the proxy", answer, proxy="http://proxy:3128")) is expected

    @pytest.mark.parametrize(
        ("code", "expected"),
        [
            (1, BACKOFF),
            (2, STOP),
            (3, BACKOFF),
            (4, BACKOFF),
            (5, BACKOFF),
            (6, BACKOFF),
            (7, STOP),
            (8, STOP),
            (91, BACKOFF),
            (93, STOP),
        ],
    )
    def test_a_socks_proxy_is_judged_by_its_reply(self, code: int, expected: Verdict) -> None:
        failed = HandshakeFailed("the proxy did not connect", proxy="socks5://proxy:1080")
        assert verdict(with_cause(failed, python_socks.ProxyError("reply", error_code=code))) is expected


def test_only_what_stops_is_final_by_default() -> None:
    for expected, codes in BY_CODE.items():
        for code in codes:
            error = ConnectionClosedError(Close(code), Close(code), True)
            assert process_exception(error) is (error if expected is STOP else None)


def test_the_table_of_the_page_is_the_one_of_the_code() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "reconnecting.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| ([\d, \u2013]+) \|.*\| \*?\*?(stop|back-off|now|token|session)\*?\*? \|$", page, flags=re.MULTILINE
    )
    written: dict[int, str] = {}
    for codes, word in rows:
        for part in codes.split(","):
            first, _, last = part.strip().partition("\u2013")
            written |= dict.fromkeys(range(int(first), int(last or first) + 1), word)
    assert set(written) == set(CODES) | set(range(3000, 5000))
    judged = {code: verdict(ConnectionClosedError(Close(code), None)).value for code in written}
    assert written == judged
