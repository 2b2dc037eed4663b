"""Rows as the columns that one statement takes, and text as Postgres takes it."""

from collections.abc import Iterable, Sequence
from typing import Any


def transpose(rows: Iterable[Sequence[Any]], width: int) -> list[list[Any]]:
    """Turn rows into columns, so that a whole batch goes into one statement.

    Args:
        rows: all of the same width.
        width: how many columns there are, for when there are no rows.
    """
    columns = [list(column) for column in zip(*rows, strict=True)]
    return columns or [[] for _ in range(width)]


def clean_text(text: str) -> str:
    """Replace what Postgres takes in no text: NUL, and halves of surrogate pairs."""
    if "\x00" not in text and text.isprintable():
        return text
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()


def fit_integer(number: int, bits: int) -> int:
    """Bring a number of others into the range of an integer column.

    Args:
        number: such as an offset that a header names.
        bits: size of the column, 32 for ``integer`` and 64 for ``bigint``.
    """
    limit: int = 1 << (bits - 1)
    return max(-limit, min(number, limit - 1))
