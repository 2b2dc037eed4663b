"""The budgets of one status, for people and as JSON: a page at a time, with the total."""

from dataclasses import dataclass
from typing import Final

from contracts.budget_key import BudgetKey
from contracts.fields import write_time
from handlers.budget import Budget
from outbox.budget_record import count_budgets, list_budgets
from outbox.database import Connection
from worker.console import Console
from worker.reports.budget_report import describe_error, find_target, format_time

BEFORE_ALL: Final = BudgetKey(0, 0, 0)
"""The key before every budget's."""


@dataclass(frozen=True, slots=True)
class BudgetPage:
    """Some of the budgets of one status."""

    status: str
    total: int
    budgets: tuple[Budget, ...]
    more: bool
    """Whether there are more after the last."""


async def read_budget_page(connection: Connection, status: str, after: BudgetKey, limit: int) -> BudgetPage:
    """Read a page of budgets by key.

    Args:
        connection: a session on a database with our schema.
        status: a status, or ``ON_HOLD``.
        after: the last key of the page before; ``BEFORE_ALL`` for the first page.
        limit: how many budgets.

    Raises:
        DatabaseDown: Postgres does not answer.
    """
    found = await list_budgets(connection, status, after, limit + 1)
    return BudgetPage(status, await count_budgets(connection, status), tuple(found[:limit]), len(found) > limit)


def write_budget_page(page: BudgetPage) -> dict[str, object]:
    """Write a page as JSON values."""
    return {
        "status": page.status,
        "total": page.total,
        "next_after": str(page.budgets[-1].key) if page.more else None,
        "budgets": [_write(budget) for budget in page.budgets],
    }


def _write(budget: Budget) -> dict[str, object]:
    target, version = find_target(budget), budget.version
    return {
        "key": str(budget.key),
        "status": budget.status,
        "version": version.number if version else None,
        "since": write_time(budget.since) if budget.since else None,
        "on_hold": budget.on_hold,
        "overdue": budget.overdue,
        "company_code": target.company_code if target else None,
        "job_number": target.job_number if target else None,
        "errors": [error.model_dump(mode="json") for error in version.errors] if version else [],
    }


def print_budget_page(page: BudgetPage, console: Console) -> None:
    """Print a page: one line for each budget, and how to get the next page."""
    if page.budgets:
        rows = [_format(budget) for budget in page.budgets]
        console.print_table(("budget", "status", "version", "since", "job", "errors"), rows)
        console.print_line()
    console.print_line(f"{page.total} budgets are {page.status}; {len(page.budgets)} are listed")
    if page.more:
        console.print_line(f"the next ones: --after {page.budgets[-1].key}")


def _format(budget: Budget) -> tuple[str, ...]:
    target, version = find_target(budget), budget.version
    errors = version.errors if version else ()
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return (
        str(budget.key),
        budget.status or "none",
        str(version.number) if version else "",
        format_time(budget.since) if budget.since else "",
        f"{target.company_code}/{target.job_number}" if target else "",
        describe_error(errors[0]) + more if errors else "",
    )
