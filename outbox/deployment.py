"""What belongs to the deployment as a whole: which database this is, its rules, its deadlines, its budgets' stories."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from contracts.budget_key import BudgetKey
from outbox.database import Connection, tell_outages
from outbox.queries import QUERIES


class Due(NamedTuple):
    """Something of a budget whose time has come: an acknowledgement, or what is parked."""

    deadline: str
    key: BudgetKey
    version: int
    due_at: datetime


class HeldJob(NamedTuple):
    """A job in which Spectrum may hold something of a budget."""

    key: BudgetKey
    company_code: str
    job_number: str


async def read_deployment_id(connection: Connection) -> UUID:
    """Read which database this is."""
    async with tell_outages():
        found: UUID = await connection.fetchval(QUERIES["read_deployment"])
    return found


async def fix_inbox_partitions(connection: Connection, partitions: int) -> int:
    """Write down how many partitions the inbox has, once and for all; returns the number that was written first."""
    async with tell_outages():
        written: int = await connection.fetchval(QUERIES["fix_inbox_partitions"], partitions)
    return written


async def find_due(connection: Connection, inbox_partitions: Sequence[int]) -> list[Due]:
    """Find what is due in these lanes, by the clock of the database: workers' clocks may differ."""
    async with tell_outages():
        rows = await connection.fetch(QUERIES["find_due"], inbox_partitions)
    return [Due(row["deadline"], BudgetKey(*row[1:4]), row["version"], row["due_at"]) for row in rows]


async def find_held_jobs(connection: Connection) -> list[HeldJob]:
    """Find every job in which Spectrum may hold something."""
    async with tell_outages():
        rows = await connection.fetch(QUERIES["find_held_jobs"])
    return [HeldJob(BudgetKey(*row[:3]), row[3], row[4]) for row in rows]
