"""The budgets whose figures in Spectrum differ, or are not known, for people and as JSON: the worst first."""

from dataclasses import dataclass
from typing import Final

from contracts.fields import write_cents, write_time
from handlers.budget import Budget
from handlers.decision import show_read_back
from handlers.read_back import ReadBack
from outbox.database import Connection
from outbox.read_backs import ReadBackState, count_read_back_states, list_drift
from worker.console import Console
from worker.reports.amounts import align_amounts
from worker.reports.budget_report import find_target, format_time
from worker.reports.reading_report import describe_reason

_LISTED: Final = ("differs", "stale", "unknown")


@dataclass(frozen=True, slots=True)
class DriftList:
    """The first of these budgets, and how many there are."""

    states: tuple[ReadBackState, ...]
    budgets: tuple[Budget, ...]

    @property
    def total(self) -> int:
        """How many budgets there are to list."""
        return sum(one.budgets for one in self.states if one.state in _LISTED)


async def read_drift_list(connection: Connection, limit: int) -> DriftList:
    """Read the first ``limit`` budgets that differ or are not known; raises ``DatabaseDown``."""
    return DriftList(
        tuple(await count_read_back_states(connection)),
        tuple(await list_drift(connection, limit)),
    )


def write_drift_list(found: DriftList) -> dict[str, object]:
    """Write a list as JSON values."""
    return {
        "counts": {one.state: one.budgets for one in found.states},
        "total": found.total,
        "budgets": [_write(budget) for budget in found.budgets],
    }


def _write(budget: Budget) -> dict[str, object]:
    known, target = budget.read_back or ReadBack(), find_target(budget)
    shown, lines = show_read_back(known), known.open_lines
    return {
        "key": str(budget.key),
        "read_back": shown.state,
        "reason": known.drift.reason if known.drift else None,
        "read_at": write_time(known.read_to) if known.read_to else None,
        # Also of a reading that is stale: it is the last that is known.
        "drift_lines": len(lines),
        "drift_amount": write_cents(sum(line.amount for line in lines)),
        "currency": target.currency if target else None,
        "company_code": target.company_code if target else None,
        "job_number": target.job_number if target else None,
    }


def print_drift_list(found: DriftList, console: Console) -> None:
    """Print a list: one line for each budget, and how many there are."""
    if found.budgets:
        rows = [_format(budget) for budget in found.budgets]
        console.print_table(*align_amounts(_HEADER, rows, _AMOUNTS))
        console.print_line()
    counts = ", ".join(f"{one.budgets} {_WORDS[one.state]}" for one in found.states)
    console.print_line(counts or "no budget differs in Spectrum, as far as it was read")
    if found.total > len(found.budgets):
        console.print_line(f"{len(found.budgets)} of {found.total} are listed; --limit lists more")
    if found.budgets:
        console.print_line("`budget-bridge drift KEY` shows one of them line by line")


_HEADER: Final = ("budget", "in Spectrum", "lines", "by", "currency", "job", "last read", "why")
_AMOUNTS: Final = (3,)
_WORDS: Final = {"differs": "differ", "stale": "stale", "unknown": "not known", "never": "never read"}


def _format(budget: Budget) -> tuple[str, ...]:
    known, target = budget.read_back or ReadBack(), find_target(budget)
    lines = known.open_lines
    return (
        str(budget.key),
        show_read_back(known).state,
        str(len(lines) or ""),
        write_cents(sum(line.amount for line in lines)) if lines else "",
        target.currency if target else "",
        f"{target.company_code}/{target.job_number}" if target else "",
        format_time(known.read_to) if known.read_to else "never",
        describe_reason(known),
    )
