"""docs/howto/closed.md quotes what the engine says."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_what_the_page_quotes_is_what_the_engine_says() -> None:
    page = (ROOT / "docs" / "howto" / "closed.md").read_text(encoding="utf-8")
    quoted = re.findall(r"^\| \d{4}, `([^`]+)` \|", page, flags=re.MULTILINE)
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "crates").rglob("src/**/*.rs"))
    assert len(quoted) >= 6
    assert not [text for text in quoted if f'"{text}' not in source]
