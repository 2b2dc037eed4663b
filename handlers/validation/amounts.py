"""Money and quantities: their range, their decimals, and the sum of the lines."""

from collections.abc import Iterable, Iterator
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
from typing import Final

from contracts.inbound import BudgetLine, BudgetLocked
from handlers.validation.errors import Problem, shorten_value
from handlers.validation.limits import MAX_LINES, MAX_ORIGINAL, MAX_REVISION

# Amounts have up to 40 characters; the usual context would round at 28 digits.
EXACT: Final = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)

_CENT: Final = Decimal("0.01")


def check_total(lock: BudgetLocked) -> Iterator[Problem]:
    """Check that the total has at most two decimals and is the sum of the lines, if there are not too many of them."""
    total = lock.total_amount
    if not _has_two_decimals(total):
        yield _report_decimals("total_amount", total)
    if len(lock.lines) > MAX_LINES:
        return
    added = add_up(lock.lines)
    if added != total:
        message = f"The total is {shorten_value(total)}, but the lines add up to {shorten_value(added)}."
        yield Problem("total_amount", "total_mismatch", message)


def check_amounts(line: BudgetLine) -> Iterator[Problem]:
    """Check a line's original and revision amount."""
    yield from check_amount("original_amount", line.original_amount, MAX_ORIGINAL)
    yield from check_amount("revision_amount", line.revision_amount, MAX_REVISION)


def check_amount(field: str, amount: Decimal, limit: Decimal) -> Iterator[Problem]:
    """Check that an amount is at most ``limit``, of either sign, and has at most two decimals."""
    if not -limit <= amount <= limit:
        message = f"{shorten_value(amount)} is beyond ±{limit:,}, the most that Spectrum takes."
        yield Problem(field, "amount_out_of_range", message)
    if not _has_two_decimals(amount):
        yield _report_decimals(field, amount)


def add_up(lines: Iterable[BudgetLine]) -> Decimal:
    """Add up original and revision over the lines, exactly."""
    total = Decimal(0)
    for line in lines:
        total = EXACT.add(EXACT.add(total, line.original_amount), line.revision_amount)
    return total


def count_hundredths(amount: Decimal) -> int:
    """Count the hundredths of an amount that has at most two decimals."""
    return int(EXACT.scaleb(amount, 2))


def _has_two_decimals(amount: Decimal) -> bool:
    # By value, so 1.100 has; the first comparison is the cheap one and nearly always enough.
    return amount.same_quantum(_CENT) or amount.quantize(_CENT, context=EXACT) == amount


def _report_decimals(field: str, amount: Decimal) -> Problem:
    return Problem(field, "too_many_decimals", f"{shorten_value(amount)} has more than 2 decimals.")
