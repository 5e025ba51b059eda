"""Cookies of a request: the good ones, whatever stands beside them."""

from __future__ import annotations

import http.cookies
import time

import pytest

from everwire.http import Headers, Request


def cookies(*fields):
    return Request("/", Headers([("Cookie", field) for field in fields])).cookies


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("prefs=a b; session=abc", {"prefs": "a b", "session": "abc"}),
        ("session=abc", {"session": "abc"}),
        ("a=b;c=d", {"a": "b", "c": "d"}),
        (" a = b ;\tc\t=\td ", {"a": "b", "c": "d"}),
        ("a=b; a=c", {"a": "c"}),
        ("a=b=c==", {"a": "b=c=="}),
        ("a=; b=c", {"a": "", "b": "c"}),
        ("", {}),
        (";;; ;=;", {}),
        ("flag; a=b", {"a": "b"}),
        ("=nameless; a=b", {"a": "b"}),
        ('json={"a":1,"b":[2]}; a=b', {"json": '{"a":1,"b":[2]}', "a": "b"}),
        ("a[b]=c; d:e=f; g(h)=i; a=b", {"a[b]": "c", "d:e": "f", "g(h)": "i", "a": "b"}),
        ("name=Anna ∿; a=b", {"name": "Anna ∿", "a": "b"}),
        ("Path=/; Secure; a=b", {"Path": "/", "a": "b"}),
        ("$Version=1; a=b", {"$Version": "1", "a": "b"}),
    ],
)
def test_the_good_ones_are_kept(field, expected):
    assert cookies(field) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('"b c"', "b c"),
        ('""', ""),
        ('"', '"'),
        ('"b', '"b'),
        ('b"', 'b"'),
        ('b"c"d', 'b"c"d'),
        (r'"b\"c\\d"', 'b"c\\d'),
        (r'"b\073c\054d\303\251"', "b;c,d\xc3\xa9"),
        (r'"\9\477\08"', "947708"),
        ('"b\\"', "b\\"),
    ],
)
def test_quotes_and_what_they_escape_are_taken_off(value, expected):
    assert cookies(f"a={value}; z=y") == {"a": expected, "z": "y"}


@pytest.mark.parametrize("value", ["plain", "a b", 'say "hi"', "semi;colon", "back\\slash", "comma,", "é", ""])
def test_what_the_standard_library_writes_is_read(value):
    jar = http.cookies.SimpleCookie()
    jar["name"] = value
    assert cookies(jar["name"].OutputString()) == {"name": value}


def test_several_fields_are_read_as_one():
    assert cookies("a=b; c=d", "e=f; a=g") == {"a": "g", "c": "d", "e": "f"}


def test_none_is_none():
    assert cookies() == {}


@pytest.mark.parametrize(
    "field", [";" * 8000, "=" * 8000, 'a="' + "\\" * 8000 + '"', "a=b;" * 2000, '"' * 8000, " " * 8000]
)
def test_a_field_of_8_kib_takes_no_time(field):
    began = time.perf_counter()
    cookies(field)
    assert time.perf_counter() - began < 0.05
