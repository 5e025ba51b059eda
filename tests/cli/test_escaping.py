"""Text of others: nothing in it reaches a terminal that the terminal would obey."""

from __future__ import annotations

import json
import sys
import unicodedata

import pytest

from everwire.cli.escaping import escaped, escaped_json, pieces, shortened

EVERYTHING = "".join(map(chr, range(sys.maxunicode + 1)))
TURNING = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def harmful(text: str) -> set[str]:
    """What a terminal might obey: controls, halves of characters, breaks of lines, what turns the direction."""
    return {
        character
        for character in text
        if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
        or unicodedata.bidirectional(character) in TURNING
    }


def test_a_line_holds_nothing_harmful_whatever_was_said() -> None:
    assert not harmful(escaped(EVERYTHING))


def test_pieces_keep_only_tabs_and_newlines() -> None:
    assert harmful("".join(piece for _, piece in pieces(EVERYTHING))) == {"\t", "\n"}


def test_pieces_tell_what_stands_for_something_else() -> None:
    assert list(pieces("a\x1bb")) == [(False, "a"), (True, "\\x1b"), (False, "b")]
    assert list(pieces("")) == []


def test_what_people_write_stays_as_it_is() -> None:
    text = "Grüße, 日本語, שלום, مرحبا, 👩‍👩‍👧, क्‍ष \\ \" '"
    assert escaped(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", r"\x1b[2J"),
        ("\x9b", r"\x9b"),
        ("\r\n\t", r"\r\n\t"),
        ("\u202e", r"\u202e"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_escapes_are_those_of_python(text: str, shown: str) -> None:
    assert escaped(text) == shown


def test_json_stays_what_it_was() -> None:
    # Halves of characters cannot come over the wire: text is UTF-8.
    everything = "".join(character for character in EVERYTHING if unicodedata.category(character) != "Cs")
    text = escaped_json(json.dumps(everything, ensure_ascii=False))
    assert json.loads(text) == everything
    assert not harmful(text)


def test_a_text_that_is_shortened_shows_that_it_was() -> None:
    assert (shortened("abc", 3), shortened("abcd", 3)) == ("abc", "abc…")
