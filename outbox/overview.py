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


class ReadBackCount(NamedTuple):
    """How budgets stand to what Spectrum was read to hold."""

    differ: int
    """Budgets of which Spectrum differs, in a line that nobody has kept."""
    read_since: datetime | None
    """Since when the budget that was read longest ago has not been read; ``None`` where none is to be read."""


async def count_read_back(connection: Connection) -> ReadBackCount:
    """Count the budgets of which Spectrum differs, and find the oldest reading."""
    async with translate_errors(connection):
        [row] = await connection.fetch(QUERIES["count_read_back"])
    return ReadBackCount(*row)


async def list_waiting(connection: Connection, at_most: int) -> list[WaitingBudget]:
    """List the first ``at_most`` budgets that wait for a person.

    Those on hold come first, then overdue, failed and pending ones, in each case those that have waited longest first.
    """
    async with translate_errors(connection):
        rows = await connection.fetch(QUERIES["list_waiting"], at_most)
    return [WaitingBudget(BudgetKey(*row[:3]), *row[3:]) for row in rows]
