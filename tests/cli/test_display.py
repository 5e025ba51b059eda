"""How messages look."""

from __future__ import annotations

import datetime
import json
import random
from typing import Any

import pytest

from everwire.cli.display import BINARY, TEXT, message
from everwire.cli.highlight import DEPTH, highlighted


def look(data: str | bytes, width: int = 80, direction: str = "received") -> str:
    return "".join(text for _, text in message(direction, data, width))


def test_the_direction_has_a_mark() -> None:
    assert (look("x"), look("x", direction="sent")) == ("< x", "> x")


def test_the_time_comes_first() -> None:
    time = datetime.datetime(2026, 1, 2, 3, 4, 5, 678901)
    assert "".join(text for _, text in message("sent", "x", 80, time)) == "03:04:05.678 > x"


def test_an_empty_text_is_not_invisible() -> None:
    assert look("") == "< empty text"


def test_no_line_of_a_message_can_pass_for_another_message() -> None:
    assert look("a\n< b\n\n> c") == "< a\n  < b\n  \n  > c"


def test_only_the_beginning_of_a_long_text_is_shown() -> None:
    text = "x" * (TEXT + 1234)
    assert look(text) == f"< {'x' * TEXT}… and 1,234 more characters"


@pytest.mark.parametrize(("data", "shown"), [(b"", "< binary, 0 bytes"), (b"\x00", "< binary, 1 byte  00  .")])
def test_short_binary_messages_take_a_line(data: bytes, shown: str) -> None:
    assert look(data) == shown


def test_only_the_beginning_of_a_long_binary_message_is_shown() -> None:
    lines = look(bytes(BINARY + 1)).splitlines()
    assert (len(lines), lines[-1]) == (1 + BINARY // 16 + 1, "  … and 1 more bytes")


def test_the_last_row_is_aligned() -> None:
    rows = look(b"a" * 20).splitlines()[1:]
    assert rows[0].index("aaaa") == rows[1].index("aaaa")


def test_json_that_fits_takes_a_line() -> None:
    assert look('{"a":[1,2],\n"b":{}}') == '< {"a": [1, 2], "b": {}}'


def test_json_that_does_not_fit_is_laid_out() -> None:
    assert look('{"a":[1,{"b":[]}],"c":{}}', width=20) == (
        '< {\n    "a": [\n      1,\n      {\n        "b": []\n      }\n    ],\n    "c": {}\n  }'
    )


def test_values_are_shown_as_they_came() -> None:
    text = '{"n": [1.10, 1E400, 12345678901234567890123, -0.0], "s": "\\u0041\\/", "s": 2}'
    assert look(text) == f"< {text}"


@pytest.mark.parametrize("text", ["12", '"text"', "null", "{oops}", '{"a": NaN', "[1,]", "text", "{'a': 1}"])
def test_what_is_no_object_or_array_is_shown_as_text(text: str) -> None:
    assert look(text) == f"< {text}"


def test_json_too_deep_for_a_terminal_is_shown_as_text() -> None:
    deep = "[" * (DEPTH + 1) + "]" * (DEPTH + 1)
    assert look(deep, width=20) == f"< {deep}"
    assert look("[" * 16_000, width=20) == f"< {'[' * 16_000}"


def test_whatever_json_there_is_means_the_same_when_it_is_laid_out() -> None:
    source = random.Random(7)

    def something(depth: int) -> Any:
        kind = source.randrange(7 if depth else 5)
        if kind == 5:
            return [something(depth - 1) for _ in range(source.randrange(4))]
        if kind == 6:
            return {source.choice('ab{[,:"\\\x1bü '): something(depth - 1) for _ in range(source.randrange(4))}
        return [None, True, -1.5e-7, 12, source.choice(["", "{", "],", "\x9b\u202e", '\\"', "a: b"])][kind]

    for _ in range(300):
        value = [something(4)]
        for ensure_ascii in (True, False):
            for width in (10, 1000):
                fragments = highlighted(json.dumps(value, ensure_ascii=ensure_ascii), width)
                assert fragments is not None
                shown = "".join(text for _, text in fragments)
                assert json.loads(shown) == value
                assert not set(shown) & set("\x1b\x9b\u202e")
