"""Counts the budgets of each status, and lists those that have waited longest for a person."""

from datetime import datetime
from typing import NamedTuple

from contracts.budget_key import BudgetKey
from outbox.database import Connection, translate_errors
from outbox.queries import QUERIES


class StatusCount(NamedTuple):
    """The budgets of one status."""

    status: str
    budgets: int
    oldest: datetime | None
    overdue: int
    on_hold: int
    parked: int
    """Decisions and retrievals that wait for their version."""
    waiting: int
    """Newer versions that wait behind an export."""
    oldest_overdue: datetime | None
    """Since when the oldest overdue export has been under way."""


class WaitingBudget(NamedTuple):
    """A budget that waits for a person, and why."""

    key: BudgetKey
    status: str | None
    version: int | None
    since: datetime | None
    why: str


async def count_statuses(connection: Connection) -> list[StatusCount]:
    """Count the budgets of each status."""
    async with translate_errors(connection):
        return [StatusCount(*row) for row in await connection.fetch(QUERIES["count_statuses"])]


async def list_waiting(connection: Connection, at_most: int) -> list[WaitingBudget]:
    """List the first ``at_most`` budgets that wait for a person.

    Those on hold come first, then overdue, failed and pending ones, in each case those that have waited longest first.
    """
    async with translate_errors(connection):
        rows = await connection.fetch(QUERIES["list_waiting"], at_most)
    return [WaitingBudget(BudgetKey(*row[:3]), *row[3:]) for row in rows]
