"""Delays: full jitter, reset by a healthy minute, Retry-After."""

from __future__ import annotations

import email.utils
import itertools
import random

import pytest

from everwire import HandshakeFailed, Headers, Response
from everwire.client.backoff import HEALTHY, RETRY_AFTER, Pace, backoff, retry_after

NOW = 1_800_000_000.0


def ceilings(count: int) -> list[float]:
    """The longest delays that can be drawn."""
    return list(itertools.islice(backoff(draw=lambda _, most: most), count))


def refusal(status: int, *values: str) -> HandshakeFailed:
    """A refusal with these values of Retry-After."""
    headers = Headers([("Retry-After", value) for value in values])
    return HandshakeFailed("refused", Response(status, "", headers))


class TestBackoff:
    def test_the_range_doubles_from_half_a_second_to_twenty(self) -> None:
        assert ceilings(8) == [0.5, 1, 2, 4, 8, 16, 20, 20]

    def test_every_delay_may_be_nothing(self) -> None:
        assert list(itertools.islice(backoff(draw=lambda least, _: least), 5)) == [0, 0, 0, 0, 0]

    def test_it_never_overflows(self) -> None:
        assert next(itertools.islice(backoff(draw=lambda _, most: most), 100_000, None)) == 20

    def test_delays_are_spread_over_the_whole_range(self) -> None:
        chance = random.Random(1)
        clients = [list(itertools.islice(backoff(draw=chance.uniform), 7)) for _ in range(2000)]
        for number, ceiling in enumerate(ceilings(7)):
            drawn = sorted(delays[number] for delays in clients)
            assert 0 <= drawn[0] < 0.01 * ceiling
            assert 0.99 * ceiling < drawn[-1] <= ceiling
            assert sum(drawn) / len(drawn) == pytest.approx(ceiling / 2, rel=0.05)

    def test_clients_do_not_stay_together(self) -> None:
        chance = random.Random(2)
        clients = [list(itertools.islice(backoff(draw=chance.uniform), 2)) for _ in range(1000)]
        first_half = [second for first, second in clients if first < 0.25]
        assert sum(first_half) / len(first_half) == pytest.approx(0.5, rel=0.1)

    def test_a_first_delay_above_the_longest_is_cut(self) -> None:
        assert next(backoff(60, 5, draw=lambda _, most: most)) == 5


class TestRetryAfter:
    @pytest.mark.parametrize("status", [429, 503])
    def test_seconds_are_understood(self, status: int) -> None:
        assert retry_after(refusal(status, "7"), NOW) == 7

    @pytest.mark.parametrize("form", ["rfc1123", "rfc850", "asctime"])
    def test_every_form_of_date_is_understood(self, form: str) -> None:
        date = {
            "rfc1123": email.utils.formatdate(NOW + 30, usegmt=True),
            "rfc850": "Friday, 15-Jan-27 08:00:30 GMT",
            "asctime": "Fri Jan 15 08:00:30 2027",
        }[form]
        assert retry_after(refusal(503, date), NOW) == 30

    def test_a_date_in_the_past_asks_for_nothing(self) -> None:
        assert retry_after(refusal(503, "Thu, 01 Jan 1970 00:00:00 GMT"), NOW) == 0

    @pytest.mark.parametrize(
        "value",
        ["301", "86400", "9" * 10, "9" * 5000, "Fri, 31 Dec 9999 23:59:59 GMT"],
        ids=["a little more", "a day", "long", "endless", "the last date"],
    )
    def test_it_is_bounded(self, value: str) -> None:
        assert retry_after(refusal(503, value), NOW) == RETRY_AFTER == 300

    @pytest.mark.parametrize(
        "value",
        [
            "",
            "soon",
            "-5",
            "1.5",
            "٣",
            "inf",
            "nan",
            "Fri, 99 Jan 2027 08:00:30 GMT",
            "Fri, 15 Jan 2027 25:00:30 GMT",
            ",",
        ],
    )
    def test_what_is_neither_asks_for_nothing(self, value: str) -> None:
        assert retry_after(refusal(503, value), NOW) == 0

    def test_of_several_the_longest_counts(self) -> None:
        assert retry_after(refusal(503, "2", "soon", "9"), NOW) == 9

    @pytest.mark.parametrize("status", [200, 301, 403, 404, 500, 502])
    def test_other_refusals_ask_for_nothing(self, status: int) -> None:
        assert retry_after(refusal(status, "7"), NOW) == 0

    def test_what_is_no_refusal_asks_for_nothing(self) -> None:
        assert [retry_after(error, NOW) for error in (None, OSError(), HandshakeFailed("no HTTP"))] == [0, 0, 0]


def counting() -> itertools.count[float]:
    return itertools.count(1.0)


class TestPace:
    def test_delays_grow_from_failure_to_failure(self) -> None:
        pace = Pace(counting)
        assert [pace.delay(NOW) for _ in range(4)] == [1, 2, 3, 4]

    def test_a_connection_does_not_reset_them_at_once(self) -> None:
        pace = Pace(counting)
        assert pace.delay(0) == 1
        pace.opened(10)
        assert pace.delay(10) == 2
        pace.opened(20)
        assert pace.delay(20 + HEALTHY - 0.001) == 3

    def test_a_healthy_minute_resets_them(self) -> None:
        pace = Pace(counting)
        assert [pace.delay(0), pace.delay(0)] == [1, 2]
        pace.opened(10)
        assert pace.delay(10 + HEALTHY) == 1
        assert pace.delay(10 + HEALTHY) == 2

    def test_health_is_counted_once(self) -> None:
        pace = Pace(counting)
        pace.opened(0)
        assert pace.delay(100) == 1
        # No connection since: it must not count as one that has been open for 200 seconds.
        assert pace.delay(200) == 2

    def test_the_servers_wish_comes_before_the_delay(self) -> None:
        pace = Pace(counting)
        assert pace.delay(0, at_least=30) == 31

    def test_at_once_is_for_the_first_time_only(self) -> None:
        pace = Pace(counting)
        assert pace.delay(0, at_once=True) == 0
        pace.opened(1)
        assert pace.delay(2, at_once=True) == 1
        pace.opened(3)
        assert pace.delay(3 + HEALTHY, at_once=True) == 0

    def test_at_once_waits_as_long_as_the_server_asked_for(self) -> None:
        assert Pace(counting).delay(0, at_once=True, at_least=5) == 5

    def test_where_delays_end_patience_ends(self) -> None:
        pace = Pace(lambda: iter([1.0, 2.0]))
        assert [pace.delay(0) for _ in range(4)] == [1, 2, None, None]
        pace.opened(0)
        assert pace.delay(HEALTHY) == 1

    def test_it_can_be_reset(self) -> None:
        pace = Pace(counting)
        assert [pace.delay(0), pace.delay(0)] == [1, 2]
        pace.reset()
        assert pace.delay(0) == 1

    def test_a_day_with_a_server_that_accepts_and_drops(self) -> None:
        chance = random.Random(3)
        pace, now, connections = Pace(lambda: backoff(draw=chance.uniform)), 0.0, 0
        while now < 86_400:
            pace.opened(now)
            connections += 1
            delay = pace.delay(now + 0.01)
            assert delay is not None
            now += 0.01 + delay
        # One in ten seconds, on average; not one in ten milliseconds.
        assert 8000 < connections < 9500
