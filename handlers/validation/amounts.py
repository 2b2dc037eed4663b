"""Money and quantities: their range, their decimals, and the sum of the lines.

They are compared as hundredths, whole ones wherever an amount has at most two decimals.
"""

from collections.abc import Iterable, Iterator, Sequence
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
from functools import lru_cache
from typing import Final

from contracts.inbound import BudgetLocked
from handlers.validation.columns import NO_PROBLEMS, Columns, Problems
from handlers.validation.errors import Problem, shorten_value
from handlers.validation.limits import MAX_LINES

# Amounts have up to 40 characters; the usual context would round at 28 digits.
EXACT: Final = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)

_DECIMALS: Final = 2

Hundredths = int | Decimal
"""Decimal only where they are not whole."""


@lru_cache(maxsize=4096)
def read_hundredths(amount: str) -> Hundredths:
    """Read the hundredths of an amount or a quantity, by value: 1.100 and 1.1 have 110, and -0 has 0."""
    if amount[-3:-2] == ".":
        return int(amount[:-3] + amount[-2:])
    whole, _, decimals = amount.partition(".")
    if len(decimals) > _DECIMALS and decimals[_DECIMALS:].strip("0"):
        return EXACT.normalize(EXACT.scaleb(Decimal(amount), _DECIMALS))
    return int(whole + decimals[:_DECIMALS].ljust(_DECIMALS, "0"))


def check_amounts(field: str, amounts: Sequence[str], hundredths: Sequence[Hundredths], limit: int) -> Problems:
    """Check the range and the decimals of amounts.

    Args:
        field: what they are.
        amounts: as they came in, one for each line.
        hundredths: of each.
        limit: the most hundredths that one may have, of either sign.

    Returns:
        What is wrong, by line.
    """
    if not amounts or (-limit <= min(hundredths) and max(hundredths) <= limit and all_whole(hundredths)):
        return NO_PROBLEMS
    return {
        number: list(_check_amount(field, amount, found, limit))
        for number, (amount, found) in enumerate(zip(amounts, hundredths, strict=True))
    }


def all_whole(hundredths: Iterable[Hundredths]) -> bool:
    """Check whether all amounts have at most two decimals."""
    return set(map(type, hundredths)) <= {int}


def _check_amount(field: str, amount: str, hundredths: Hundredths, limit: int) -> Iterator[Problem]:
    if not -limit <= hundredths <= limit:
        most = EXACT.scaleb(Decimal(limit), -_DECIMALS)
        message = f"{shorten_value(Decimal(amount))} is beyond ±{most:,}, the most that Spectrum takes."
        yield Problem(field, "amount_out_of_range", message)
    if not all_whole([hundredths]):
        yield _report_decimals(field, amount)


def check_total(lock: BudgetLocked, columns: Columns, added: Hundredths) -> Iterator[Problem]:
    """Check that the total has at most two decimals and is the sum of the lines, if there are not too many of them.

    Args:
        lock: the version.
        columns: the fields of its lines, or of as many as are checked.
        added: hundredths of the lines' original and revision amounts.
    """
    total = read_hundredths(lock.total_amount)
    if not all_whole([total]):
        yield _report_decimals("total_amount", lock.total_amount)
    if total != added and len(lock.lines) <= MAX_LINES:
        shown, sum_shown = Decimal(lock.total_amount), _add_as_written(columns)
        message = f"The total is {shorten_value(shown)}, but the lines add up to {shorten_value(sum_shown)}."
        yield Problem("total_amount", "total_mismatch", message)


def add_up(hundredths: Sequence[Hundredths]) -> Hundredths:
    """Add up exactly."""
    if all_whole(hundredths):
        return sum(hundredths)
    total = Decimal(0)
    for amount in hundredths:
        total = EXACT.add(total, amount)
    return total


def _add_as_written(columns: Columns) -> Decimal:
    """Add up to as many decimals as the amounts are written with, for people."""
    total = Decimal(0)
    for amount in (*columns.original_amounts, *columns.revision_amounts):
        total = EXACT.add(total, Decimal(amount))
    return total


def _report_decimals(field: str, amount: str) -> Problem:
    return Problem(field, "too_many_decimals", f"{shorten_value(Decimal(amount))} has more than 2 decimals.")
