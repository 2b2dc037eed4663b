"""Amounts for people: from hundredths to text with integers alone, never through a float."""

from collections.abc import Mapping
from typing import Final

from desk.settings import Numbers

_MARKS: Final[Mapping[Numbers, tuple[str, str]]] = {
    "1,234.56": (",", "."),
    "1.234,56": (".", ","),
    "1 234,56": ("\N{NO-BREAK SPACE}", ","),
    "1'234.56": ("'", "."),
}


def read_cents(amount: str) -> int:
    """Read an amount of a message that we send, such as ``-2500.00``, as hundredths."""
    return int(amount.replace(".", ""))


def write_money(cents: int, numbers: Numbers = "1,234.56") -> str:
    """Write hundredths for people: grouped, two places, an ASCII minus that spreadsheets can read.

    Args:
        cents: the amount in hundredths.
        numbers: how numbers are written here.
    """
    group, point = _MARKS[numbers]
    whole, part = divmod(abs(cents), 100)
    return f"{'-' if cents < 0 else ''}{whole:,}".replace(",", group) + f"{point}{part:02d}"
