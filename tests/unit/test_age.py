"""An age as people write it."""

from datetime import timedelta

import pytest
import typer

from worker.commands.arguments import read_age


@pytest.mark.parametrize(
    ("text", "age"),
    [
        ("400d", timedelta(days=400)),
        ("12h", timedelta(hours=12)),
        ("30m", timedelta(minutes=30)),
        ("0s", timedelta(0)),
    ],
)
def test_what_is_an_age(text: str, age: timedelta) -> None:
    assert read_age(text) == age


@pytest.mark.parametrize("text", ["", "400", "d", "-1d", "1.5d", "1 d", "4w", "400d12h", "٣d", "100000d", "1d\n"])
def test_what_is_none(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="such as 400d or 12h"):
        read_age(text)
