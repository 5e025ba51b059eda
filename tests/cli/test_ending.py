"""How an end is told."""

from __future__ import annotations

import pytest

from everwire import Close, ConnectionClosedError, ConnectionClosedOK, LimitExceeded
from everwire.cli.ending import Ending
from everwire.cli.exit import Exit
from everwire.close import CODES, explanation


@pytest.mark.parametrize("code", [*CODES, 1004, 2999, 3000, 3999, 4000, 4999, 5000])
def test_every_code_is_explained_in_a_sentence(code: int) -> None:
    assert explanation(code)[0].isupper()
    assert explanation(code).endswith(".")


def test_codes_of_a_range_share_an_explanation() -> None:
    assert explanation(3000) == explanation(3999) != explanation(4000) == explanation(4999)
    assert explanation(1004) == explanation(2999) == explanation(5000)


@pytest.mark.parametrize(
    ("received", "sent", "received_first", "wanted", "exit_code", "text"),
    [
        (1000, 1000, True, 1000, Exit.ENDED, "Closed: 1000 (OK). The purpose of the connection is fulfilled."),
        (1000, 1000, False, 1000, Exit.ENDED, "Closed: 1000 (OK)."),
        (4000, 4000, False, 4000, Exit.ENDED, "Closed: 4000 (private use)."),
        (4000, 4000, True, 4000, Exit.LOST, "Closed by the other side: 4000 (private use). The application itself"),
        (1011, 1011, True, 1000, Exit.LOST, "Closed by the other side: 1011 (internal error). Something unexpected"),
        (1002, 1002, False, 1000, Exit.LOST, "Closed by us: 1002 (protocol error)."),
        (None, 1000, None, 1000, Exit.LOST, "Closed: 1000 (OK). The other side did not answer."),
        (None, None, None, 1000, Exit.LOST, "The connection was lost: it ended without a closing handshake."),
    ],
)
def test_an_end_has_an_exit_code_and_a_text(
    received: int | None, sent: int | None, received_first: bool | None, wanted: int, exit_code: Exit, text: str
) -> None:
    kind = ConnectionClosedOK if received == sent == 1000 else ConnectionClosedError
    closed = kind(received and Close(received), sent and Close(sent), received_first)
    ending = Ending(closed, wanted)
    assert ending.exit is exit_code
    assert ending.text.startswith(text)


def test_the_cause_is_told_and_harmless() -> None:
    closed = ConnectionClosedError(None, None)
    closed.__cause__ = OSError("broken\x1b[2J")
    assert Ending(closed).text == "Lost: broken\\x1b[2J."


def test_a_limit_names_the_option_that_raises_it() -> None:
    closed = ConnectionClosedError(None, Close(1009, "too big"))
    closed.__cause__ = LimitExceeded("too big")
    assert Ending(closed).text == "Closed by us: 1009 (message too big) too big; --max-size takes more."
