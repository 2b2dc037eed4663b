"""Finds the jobs in which Spectrum may hold something; a change of the rules must keep them."""

from typing import NamedTuple

from contracts.budget_key import BudgetKey
from outbox.database import Connection, translate_errors
from outbox.queries import QUERIES


class HeldJob(NamedTuple):
    """A job in which Spectrum may hold something of a budget."""

    key: BudgetKey
    company_code: str
    job_number: str


async def find_held_jobs(connection: Connection) -> list[HeldJob]:
    """Find every job in which Spectrum may hold something."""
    async with translate_errors(connection):
        rows = await connection.fetch(QUERIES["find_held_jobs"])
    return [HeldJob(BudgetKey(*row[:3]), row[3], row[4]) for row in rows]
