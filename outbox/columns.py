"""Converts values for Postgres: rows to arrays of columns, and text and numbers to what its types can hold."""

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
    """Replace the characters that Postgres accepts in no text: NUL, and halves of surrogate pairs."""
    if "\x00" not in text and text.isprintable():
        return text
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()


def fit_integer(number: int, bits: int) -> int:
    """Bring a number that others wrote into the range of an integer column.

    Args:
        number: any number, such as an offset that a header names.
        bits: the size of the column: 32 for ``integer``, 64 for ``bigint``.
    """
    limit: int = 1 << (bits - 1)
    return max(-limit, min(number, limit - 1))
