"""JSON for people: laid out and colored, with every value written as it came."""

from __future__ import annotations

import json

from pygments.lexers.data import JsonLexer
from pygments.token import Keyword, Name, Number, Punctuation, String, _TokenType, is_token_subtype

from .escaping import escaped_json
from .terminal import Fragments

__all__ = ["highlighted"]

DEPTH = 32
"""How deep JSON is laid out; deeper, the indentation would hide it."""

_STYLES = {
    Name.Tag: "class:json.key",
    String: "class:json.string",
    Number: "class:json.number",
    Keyword: "class:json.word",
}


def highlighted(text: str, width: int) -> Fragments | None:
    """An object or array of JSON, in one line if it fits into ``width`` columns; ``None`` if the text is none."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return None
    tokens = _single([(kind, escaped_json(value)) for kind, value in JsonLexer().get_tokens(text) if value.strip()])
    line = _in_a_line(tokens)
    if sum(len(value) for _, value in line) <= width:
        return line
    return _in_lines(tokens)


Token = tuple[_TokenType, str]


def _in_a_line(tokens: list[Token]) -> Fragments:
    return [(_style(kind), value + " " if _is_separator(kind, value) else value) for kind, value in tokens]


def _in_lines(tokens: list[Token]) -> Fragments | None:
    fragments: Fragments = []
    depth, is_empty = 0, False
    for kind, value in tokens:
        if value in ("}", "]") and is_token_subtype(kind, Punctuation):
            depth -= 1
            fragments.append((_style(kind), value if is_empty else f"\n{'  ' * depth}{value}"))
            is_empty = False
            continue
        if is_empty:
            fragments.append(("", f"\n{'  ' * depth}"))
        is_empty = value in ("{", "[") and is_token_subtype(kind, Punctuation)
        depth += is_empty
        if depth > DEPTH:
            return None
        fragments.append((_style(kind), value))
        if is_token_subtype(kind, Punctuation) and value in (",", ":"):
            fragments.append(("", f"\n{'  ' * depth}" if value == "," else " "))
    return fragments


def _single(tokens: list[Token]) -> list[Token]:
    """The tokens with each bracket and separator by itself: the lexer may put some together."""
    single: list[Token] = []
    for kind, value in tokens:
        single += [(kind, character) for character in value] if is_token_subtype(kind, Punctuation) else [(kind, value)]
    return single


def _is_separator(kind: _TokenType, value: str) -> bool:
    return is_token_subtype(kind, Punctuation) and value in ",:"


def _style(kind: _TokenType) -> str:
    return next((style for parent, style in _STYLES.items() if is_token_subtype(kind, parent)), "class:json.mark")
