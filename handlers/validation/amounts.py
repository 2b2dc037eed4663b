"""Money and quantities: their range, their decimals, and the sum of the lines.

They are compared as hundredths, whole ones wherever an amount has at most two decimals.
"""

from collections.abc import Iterable, Iterator, Sequence
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
from functools import lru_cache
from typing import Final

from contracts.inbound import BudgetLine, BudgetLocked
from handlers.validation.errors import Problem, shorten_value
from handlers.validation.limits import MAX_LINES

# Amounts have up to 40 characters; the usual context would round at 28 digits.
EXACT: Final = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)

_DECIMALS: Final = 2

Hundredths = int | Decimal
"""Decimal only where they are not whole."""


@lru_cache(maxsize=4096)
def read_hundredths(amount: str) -> Hundredths:
    """Read the hundredths of an amount or a quantity, by value: 1.100 has 110."""
    whole, _, decimals = amount.partition(".")
    if len(decimals) > _DECIMALS and decimals[_DECIMALS:].strip("0"):
        return EXACT.scaleb(Decimal(amount), _DECIMALS)
    return int(whole + decimals[:_DECIMALS].ljust(_DECIMALS, "0"))


def check_amount(field: str, amount: str, hundredths: Hundredths, limit: int) -> Sequence[Problem]:
    """Check an amount's range and decimals.

    Args:
        field: what the amount is.
        amount: as it came in.
        hundredths: of it.
        limit: the most hundredths that it may have, of either sign.
    """
    is_in_range, is_whole = -limit <= hundredths <= limit, isinstance(hundredths, int)
    if is_in_range and is_whole:
        return ()
    problems = []
    if not is_in_range:
        most = EXACT.scaleb(Decimal(limit), -_DECIMALS)
        message = f"{shorten_value(Decimal(amount))} is beyond ±{most:,}, the most that Spectrum takes."
        problems.append(Problem(field, "amount_out_of_range", message))
    if not is_whole:
        problems.append(_report_decimals(field, amount))
    return problems


def check_total(lock: BudgetLocked, added: Hundredths) -> Iterator[Problem]:
    """Check that the total has at most two decimals and is the sum of the lines, if there are not too many of them.

    Args:
        lock: the version.
        added: hundredths of the lines' original and revision amounts.
    """
    total = read_hundredths(lock.total_amount)
    if not isinstance(total, int):
        yield _report_decimals("total_amount", lock.total_amount)
    if total != added and len(lock.lines) <= MAX_LINES:
        shown, sum_shown = Decimal(lock.total_amount), _add_as_written(lock.lines)
        message = f"The total is {shorten_value(shown)}, but the lines add up to {shorten_value(sum_shown)}."
        yield Problem("total_amount", "total_mismatch", message)


def add_up(amounts: Iterable[Hundredths]) -> Hundredths:
    """Add up exactly."""
    total: Hundredths = 0
    for amount in amounts:
        if isinstance(amount, int) and isinstance(total, int):
            total += amount
        else:
            total = EXACT.add(total, amount)
    return total


def _add_as_written(lines: Sequence[BudgetLine]) -> Decimal:
    """Add up to as many decimals as the amounts are written with, for people."""
    total = Decimal(0)
    for line in lines:
        total = EXACT.add(EXACT.add(total, Decimal(line.original_amount)), Decimal(line.revision_amount))
    return total


def _report_decimals(field: str, amount: str) -> Problem:
    return Problem(field, "too_many_decimals", f"{shorten_value(Decimal(amount))} has more than 2 decimals.")
