"""Quantity and unit of measure, which are checked and sent only while the rules switch quantities on."""

from collections.abc import Iterator

from contracts.text import has_control_character, is_blank
from handlers.validation.amounts import check_amounts, read_hundredths
from handlers.validation.columns import Columns, Problems
from handlers.validation.errors import Problem, shorten_value
from handlers.validation.limits import MAX_QUANTITY, MAX_UNIT


def check_quantities(columns: Columns) -> Problems:
    """Check each line's quantity and unit."""
    quantities = [quantity or "0" for quantity in columns.quantities]
    wrong = check_amounts("quantity", quantities, [read_hundredths(quantity) for quantity in quantities], MAX_QUANTITY)
    return {
        number: [*wrong.get(number, ()), *_check_unit(read_unit(unit) or "")]
        for number, unit in enumerate(columns.units)
    }


def read_quantities(columns: Columns) -> list[int]:
    """Read the hundredths of each line's quantity, zero where it has none, once they are checked."""
    return [int(read_hundredths(quantity or "0")) for quantity in columns.quantities]


def read_unit(unit: str | None) -> str | None:
    """Read a line's unit; a blank one is none, because to Spectrum a blank means "unchanged"."""
    return None if is_blank(unit or "") else unit


def _check_unit(unit: str) -> Iterator[Problem]:
    if len(unit) > MAX_UNIT:
        message = f"{shorten_value(unit)} is longer than the {MAX_UNIT} characters that Spectrum takes."
        yield Problem("unit_of_measure", "too_long", message)
    if has_control_character(unit):
        message = f"{shorten_value(repr(unit))} has a control character."
        yield Problem("unit_of_measure", "forbidden_character", message)
