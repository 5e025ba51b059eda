"""Tokens are read, and never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from everwire.cli.endpoint import Endpoint
from everwire.cli.opening import Opening
from everwire.cli.secret import read_token


def test_a_token_is_taken_as_it_is_or_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from.file\n")
    assert (read_token("as.is"), read_token(f"@{tmp_path}/token")) == ("as.is", "from.file")


@pytest.mark.parametrize("token", ["", "a b", "a\nb", "grün", "a\x00"])
def test_a_token_that_cannot_stand_in_a_field_is_refused(token: str) -> None:
    with pytest.raises(ValueError, match="the token"):
        read_token(token)


def test_what_is_secret_is_not_in_a_repr() -> None:
    opening = Opening(
        endpoint=Endpoint.parse("ws://user:s3cret@localhost/?token=s3cret"),
        token="s3cret",
        headers=(("X-Whatever", "s3cret"),),
        subprotocols=("s3cret",),
        proxy="http://user:s3cret@proxy",
    )
    assert "s3cret" not in repr(opening)
