"""Quantity and unit of measure, which are checked and sent only while the rules switch quantities on."""

from collections.abc import Iterator

from contracts.inbound import BudgetLine
from contracts.text import has_control_character, is_blank
from handlers.validation.amounts import check_amount, read_hundredths
from handlers.validation.errors import Problem, shorten_value
from handlers.validation.limits import MAX_QUANTITY, MAX_UNIT


def check_quantity(line: BudgetLine) -> Iterator[Problem]:
    """Check a line's quantity and unit."""
    if line.quantity is not None:
        yield from check_amount("quantity", line.quantity, read_hundredths(line.quantity), MAX_QUANTITY)
    unit = read_unit(line) or ""
    if len(unit) > MAX_UNIT:
        message = f"{shorten_value(unit)} is longer than the {MAX_UNIT} characters that Spectrum takes."
        yield Problem("unit_of_measure", "too_long", message)
    if has_control_character(unit):
        message = f"{shorten_value(repr(unit))} has a control character."
        yield Problem("unit_of_measure", "forbidden_character", message)


def read_unit(line: BudgetLine) -> str | None:
    """Read a line's unit; a blank one is none, because to Spectrum a blank means "unchanged"."""
    return None if is_blank(line.unit_of_measure or "") else line.unit_of_measure
