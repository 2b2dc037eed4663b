"""Lists the budgets that wait for an approver, and reads what deciding on one of them would see."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from contracts.budget_key import BudgetKey
from handlers.budget import Budget
from handlers.decision import Situation
from handlers.rules import Rules
from outbox.budget_record import read_listed
from outbox.columns import transpose
from outbox.database import Connection, translate_errors
from outbox.queries import QUERIES

PENDING: Final = "PENDING_APPROVAL"
FAILED: Final = "EXPORT_FAILED"


class Projects(NamedTuple):
    """The projects that a person sees: all of some companies, and single ones."""

    companies: tuple[int, ...]
    single: tuple[tuple[int, int], ...]

    def list_parameters(self) -> tuple[object, ...]:
        """List the first three parameters of the statements of the desk."""
        return (list(self.companies), *transpose(self.single, 2))


class Waiting(NamedTuple):
    """A budget that waits for an approver."""

    key: BudgetKey
    revision: int
    """Rises with each change of its state."""
    since: datetime

    @property
    def place(self) -> tuple[datetime, int, int, int]:
        """Where it is in the order of the list."""
        return (self.since, *self.key)


def choose_projects(rights: Iterable[tuple[int, int | None]]) -> Projects:
    """Make the filter of the rights of a person: pairs of company and project, no project for a whole company."""
    rights = set(rights)
    return Projects(
        tuple(sorted(company for company, project in rights if project is None)),
        tuple(sorted((company, project) for company, project in rights if project is not None)),
    )


async def list_pending(
    connection: Connection,
    projects: Projects,
    status: str,
    only: tuple[int, int] | None,
    after: tuple[datetime, int, int, int] | None,
    at_most: int,
) -> Sequence[Waiting]:
    """List budgets that wait for an approver, those that have waited longest first.

    Args:
        connection: a session on a database with our schema.
        projects: which of them a person sees.
        status: ``PENDING`` or ``FAILED``.
        only: of one project; ``None`` for all of them.
        after: the place of the last one of the page before.
        at_most: how many.
    """
    parameters = (*projects.list_parameters(), status, *(only or (None, None)), *(after or (None,) * 4), at_most)
    async with translate_errors(connection):
        rows = await connection.fetch(QUERIES["list_pending"], *parameters)
    return [Waiting(BudgetKey(*row[:3]), row["revision"], row["since"]) for row in rows]


async def count_pending(connection: Connection, projects: Projects, status: str, only: tuple[int, int] | None) -> int:
    """Count what ``list_pending`` lists in all."""
    async with translate_errors(connection):
        found: int = await connection.fetchval(
            QUERIES["count_pending"], *projects.list_parameters(), status, *(only or (None, None))
        )
    return found


async def load_listed(connection: Connection, keys: Sequence[BudgetKey]) -> list[Budget]:
    """Load budgets of a list, without their readings; one that cannot be read has nothing but its key."""
    async with translate_errors(connection):
        rows = await connection.fetch(QUERIES["load_listed"], *transpose(keys, 3))
    return [read_listed(row) for row in rows]


async def read_situations(
    connection: Connection, projects: Iterable[tuple[int, int]], rules: Rules, at: datetime
) -> Mapping[tuple[int, int], "ProjectSituation"]:
    """Read what deciding on budgets of projects sees besides the budget."""
    async with translate_errors(connection):
        rows = await connection.fetch(QUERIES["load_projects"], *transpose(set(projects), 2))
    return {(row[0], row[1]): ProjectSituation(at, rules, row[2], row[3]) for row in rows}


class ProjectSituation(NamedTuple):
    """What deciding sees of a project."""

    at: datetime
    rules: Rules
    claimant: int | None
    """The budget that has the project's job."""
    last_reference: int

    def narrow(self, key: BudgetKey) -> Situation:
        """Narrow it to one budget of the project."""
        taken_by = None if self.claimant == key.budget_id else self.claimant
        return Situation(self.at, self.rules, taken_by, last_reference=self.last_reference)
