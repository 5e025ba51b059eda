"""What a client does about each end: the table."""

from __future__ import annotations

import email.message
import json
import re
import socket
import ssl
import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
from everwire.client.failures import tls_failure
from everwire.client.verdicts import CLOSE_VERDICTS, Verdict, note_worked_before, process_exception, verdict
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
        with_cause(HandshakeFailed("certificate"), ssl.SSLCertVerificationError(1, "expired")),
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


def again(error: Exception) -> Exception:
    """The same, for a client that had a connection before."""
    note_worked_before(error, True)
    return error


def alert(name: str) -> HandshakeFailed:
    """What is told of an alert with this name, in the words of the engine."""
    failed = tls_failure(ssl.SSLError(1, f"the server ended TLS with the alert {name}: no reason is known"))
    assert isinstance(failed, HandshakeFailed)
    return failed


def elsewhere(status: int) -> HandshakeFailed:
    error = refused(status)
    error.redirect = "ws://portal/"
    return error


PORTAL: list[Callable[[], Exception]] = [
    lambda: with_cause(HandshakeFailed("certificate"), ssl.SSLCertVerificationError(1, "unknown")),
    lambda: ssl.SSLCertVerificationError(1, "unknown"),
    lambda: with_cause(HandshakeFailed("no TLS"), ssl.SSLError(1, "wrong version number")),
    lambda: HandshakeFailed("no HTTP"),
    lambda: refused(200),
    lambda: refused(302),
    lambda: elsewhere(403),
    lambda: elsewhere(404),
    lambda: json.JSONDecodeError("a page", "<html>", 0),
    lambda: alert("UnknownCA"),
    lambda: alert("CertificateRequired"),
    lambda: alert("ProtocolVersion"),
]


@pytest.mark.parametrize("make", PORTAL)
def test_somebody_else_s_answer_is_final_only_for_who_never_had_a_connection(make: Callable[[], Exception]) -> None:
    assert verdict(make()) is STOP
    assert verdict(again(make())) is BACKOFF
    # A function that leaves the rest to the default has the same answer.
    assert process_exception(again(make())) is None


@pytest.mark.parametrize("status", [400, 401, 403, 404, 407, 410, 426, 501, 505])
def test_a_refusal_stays_one_for_who_had_a_connection(status: int) -> None:
    assert verdict(again(refused(status))) is STOP


@pytest.mark.parametrize(
    "name", ["InternalError", "HandshakeFailure", "UnrecognisedName", "DecodeError", "UserCanceled"]
)
def test_an_alert_that_is_not_about_us_passes(name: str) -> None:
    assert verdict(alert(name)) is BACKOFF


class TestPolicy:
    @pytest.mark.parametrize(
        "reason",
        [
            "timeout",
            "Ping timed out",
            "idle for too long",
            "inactivity",
            "no pong",
            "missed heartbeats",
            "keep-alive",
            "slow reader",
        ],
    )
    def test_1008_for_a_time_that_ran_out_passes(self, reason: str) -> None:
        assert verdict(ConnectionClosedError(Close(1008, reason), Close(1008), True)) is BACKOFF

    @pytest.mark.parametrize("reason", ["", "forbidden", "unauthorized", "shipping is forbidden", "sometimes"])
    def test_1008_for_anything_else_does_not(self, reason: str) -> None:
        assert verdict(ConnectionClosedError(Close(1008, reason), Close(1008), True)) is STOP

    def test_1008_passes_if_the_connection_lived_for_a_minute(self) -> None:
        assert verdict(again(ConnectionClosedError(Close(1008, "policy"), None))) is BACKOFF

    def test_other_codes_do_not(self) -> None:
        for code in (1000, 1002, 1009, 3000, 4001):
            assert verdict(again(ConnectionClosedError(Close(code, "timeout"), None))) is STOP


class Foreign(Exception):
    """An error of some library."""

    def __init__(self, text: str = "", **attributes: Any) -> None:
        super().__init__(text)
        self.__dict__.update(attributes)


def raised_from(error: Exception, cause: Exception) -> Exception:
    """Raise one from another, as libraries do."""
    try:
        raise error from cause
    except type(error) as raised:
        return raised


def raised_in(error: Exception, context: Exception) -> Exception:
    """Raise one while another is handled."""
    try:
        try:
            raise context
        except type(context):
            raise error  # noqa: B904
    except type(error) as raised:
        return raised


class TestFunctionsOfTheProgram:
    @pytest.mark.parametrize(
        "cause",
        [ConnectionRefusedError(), socket.gaierror(socket.EAI_AGAIN, "again"), TimeoutError(), EOFError()],
        ids=repr,
    )
    def test_what_was_raised_from_an_error_of_the_network_passes(self, cause: Exception) -> None:
        assert verdict(raised_from(Foreign("connect"), cause)) is BACKOFF
        assert verdict(raised_in(KeyError("no cached token"), cause)) is BACKOFF
        assert verdict(raised_from(Foreign("outer"), raised_from(Foreign("inner"), cause))) is BACKOFF

    def test_what_a_cause_replaces_does_not_count(self) -> None:
        error = raised_in(Foreign("wrong"), ConnectionRefusedError())
        error.__suppress_context__ = True
        assert verdict(error) is STOP

    def test_a_circle_ends(self) -> None:
        first, second = Foreign(), Foreign()
        first.__cause__, second.__cause__ = second, first
        assert verdict(first) is STOP

    @pytest.mark.parametrize(
        ("status", "expected"), [(503, BACKOFF), (429, BACKOFF), (500, BACKOFF), (401, STOP), (400, STOP), (501, STOP)]
    )
    def test_a_status_is_judged_as_a_server_s(self, status: int, expected: Verdict) -> None:
        of_httpx = Foreign(response=Foreign(status_code=status))
        of_aiohttp = Foreign(status=status)
        of_urllib = urllib.error.HTTPError("http://idp/", status, "", email.message.Message(), None)
        for error in (of_httpx, of_aiohttp, of_urllib):
            assert verdict(error) is expected
            assert verdict(raised_from(Foreign("no token"), error)) is expected

    @pytest.mark.parametrize("kind", [FileNotFoundError, PermissionError, IsADirectoryError])
    def test_a_file_that_cannot_be_read_is_final(self, kind: type[OSError]) -> None:
        assert verdict(kind(2, "no such file", "ca.pem")) is STOP
        assert verdict(raised_from(ValueError("trust"), kind(2, "no such file", "ca.pem"))) is STOP

    def test_a_unix_socket_that_is_not_there_yet_is_not(self) -> None:
        assert verdict(FileNotFoundError(2, "s: no such file")) is BACKOFF

    def test_a_process_that_has_no_descriptors_left_finds_some_later(self) -> None:
        assert verdict(OSError(24, "too many open files", "ca.pem")) is BACKOFF

    @pytest.mark.parametrize("error", [UsageError("a URL that is none"), LimitExceeded("large")], ids=repr)
    def test_a_wrong_use_is_final_whatever_came_before(self, error: Exception) -> None:
        assert verdict(raised_from(error, ConnectionRefusedError())) is STOP

    def test_of_several_at_once_all_have_to_pass(self) -> None:
        assert verdict(ExceptionGroup("both", [TimeoutError(), ConnectionRefusedError()])) is BACKOFF
        assert verdict(ExceptionGroup("both", [TimeoutError(), ValueError()])) is STOP


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
