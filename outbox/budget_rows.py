"""Lists budgets by status, by what is odd about them, and by what somebody searches for; from columns alone."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from contracts.budget_key import BudgetKey
from outbox.approvals import Projects
from outbox.columns import transpose
from outbox.database import Connection, translate_errors
from outbox.queries import QUERIES

NOTICED: Final = frozenset({"overdue", "on_hold", "parked", "waiting"})
DIFFERING: Final = frozenset({"differs", "stale", "unknown"})


class BudgetRow(NamedTuple):
    """One budget of a list."""

    key: BudgetKey
    status: str | None
    version: int | None
    since: datetime | None
    overdue: bool
    on_hold: bool
    parked: int
    waiting_version: int | None
    company_code: str | None
    """Where Spectrum may hold something of it."""
    job_number: str | None
    attempt: int | None
    read_back: str
    drift_amount: int


async def find_rows(connection: Connection, keys: Iterable[BudgetKey]) -> dict[BudgetKey, BudgetRow]:
    """Find the rows of budgets."""
    rows = await _fetch(connection, "find_rows", *transpose(set(keys), 3))
    return {row.key: row for row in rows}


async def list_rows(
    connection: Connection, projects: Projects, what: str, after: BudgetKey, at_most: int
) -> Sequence[BudgetRow]:
    """List budgets by key.

    Args:
        connection: a session on a database with our schema.
        projects: of which somebody sees budgets.
        what: a status, one of ``NOTICED`` or one of ``DIFFERING``.
        after: only budgets after this key.
        at_most: how many.
    """
    query = "list_noticed_rows" if what in NOTICED else "list_differing_rows" if what in DIFFERING else None
    return await _fetch(connection, query or "list_rows_of_status", *projects.list_parameters(), what, *after, at_most)


async def list_rows_of_projects(
    connection: Connection, projects: Projects, wanted: Iterable[tuple[int, int]], at_most: int
) -> Sequence[BudgetRow]:
    """List the budgets of some projects."""
    parameters = (*projects.list_parameters(), *transpose(set(wanted), 2), at_most)
    return await _fetch(connection, "list_rows_of_projects", *parameters)


class Sought(NamedTuple):
    """What a budget is searched by; one of them is enough."""

    number: int | None
    """Of the project or of the budget."""
    job: str
    """The number of the job in which Spectrum may hold it."""
    company_codes: Collection[str]
    """Of the companies in Spectrum whose jobs are meant."""
    export: UUID | None
    """The id of its last export."""


async def search_keys(connection: Connection, projects: Projects, sought: Sought, at_most: int) -> list[BudgetKey]:
    """Search budgets by one of these.

    Args:
        connection: a session on a database with our schema.
        projects: of which somebody sees budgets.
        sought: by what.
        at_most: how many.
    """
    number, job, codes, export = sought
    parameters = (*projects.list_parameters(), number, job, export, at_most, list(codes))
    async with translate_errors(connection):
        rows = await connection.fetch(QUERIES["find_keys"], *parameters)
    return [BudgetKey(*row) for row in rows]


async def search_reference(
    connection: Connection, projects: Projects, wanted: Iterable[tuple[int, int]], reference: str, at_most: int
) -> list[BudgetKey]:
    """Search the budgets of some projects for an export under a change reference."""
    parameters = (*projects.list_parameters(), *transpose(set(wanted), 2), reference, at_most)
    async with translate_errors(connection):
        rows = await connection.fetch(QUERIES["find_keys_of_reference"], *parameters)
    return [BudgetKey(*row) for row in rows]


async def _fetch(connection: Connection, query: str, *parameters: object) -> list[BudgetRow]:
    async with translate_errors(connection):
        rows = await connection.fetch(QUERIES[query], *parameters)
    return [BudgetRow(BudgetKey(*row[:3]), *row[3:]) for row in rows]
