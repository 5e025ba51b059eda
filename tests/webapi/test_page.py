"""The reference page of the browser's API: every name is on it, and the web platform's tests that it lists are those covered."""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path

import pytest

from everwire import browser

TESTS = Path(__file__).parent
PAGE = (TESTS.parents[1] / "docs" / "reference" / "browser.md").read_text(encoding="utf-8")
NAME = r"[\w./-]+?\.(?:html|any\.js)(?:\?wss)?"


def covered() -> set[str]:
    """What the tests name."""
    texts = [path.read_text(encoding="utf-8") for path in TESTS.glob("test_wpt_*.py")]
    return {name for text in texts for name in re.findall(rf"websockets/({NAME})(?![\w.])", text)}


def test_the_covered_tests_of_the_web_platform_are_listed() -> None:
    listed = PAGE.partition("<!-- covered: begin -->")[2].partition("<!-- covered: end -->")[0]
    names = re.findall(rf"`({NAME})`", listed)
    assert len(names) == len(set(names))
    assert set(names) == covered()


def test_they_are_a_hundred_or_more() -> None:
    assert len(covered()) >= 100


@pytest.mark.parametrize("name", browser.__all__)
def test_every_name_is_on_the_page(name: str) -> None:
    thing = getattr(browser, name)
    kinds = thing.__mro__ if inspect.isclass(thing) else ()
    own = {name}
    for kind in kinds:
        if kind.__module__.startswith("everwire.browser"):
            own |= {attribute for attribute in vars(kind) if not attribute.startswith("_")}
    if dataclasses.is_dataclass(thing):
        own |= {field.name for field in dataclasses.fields(thing)}
    assert not {word for word in own if not re.search(rf"`[^`\n]*\b{word}\b", PAGE)}
