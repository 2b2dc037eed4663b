"""Finds the jobs that a change of the rules would take away from budgets that Spectrum may hold there."""

from typing import Final, NamedTuple

from contracts.budget_key import BudgetKey
from handlers.rules import Rules
from outbox.columns import transpose
from outbox.database import Connection, translate_errors
from outbox.queries import QUERIES

_AT_MOST: Final = 100


class LostJob(NamedTuple):
    """A job in which Spectrum may hold something of a budget, and the other project that rules give it to."""

    key: BudgetKey
    company_code: str
    job_number: str
    taker: tuple[int, int]


class LostJobs(NamedTuple):
    """The first of them by budget, and how many there are."""

    first: tuple[LostJob, ...]
    total: int


async def find_lost_jobs(connection: Connection, rules: Rules) -> LostJobs:
    """Find the jobs that rules give to another project than the one whose budget Spectrum may hold there."""
    jobs = [(*project, job.company_code, job.job_number) for project, job in rules.jobs.items()]
    async with translate_errors(connection):
        rows = await connection.fetch(QUERIES["find_lost_jobs"], *transpose(jobs, 4), _AT_MOST)
    found = tuple(LostJob(BudgetKey(*row[:3]), row[3], row[4], (row[5], row[6])) for row in rows)
    return LostJobs(found, rows[0]["total"] if rows else 0)
