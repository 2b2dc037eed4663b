"""Lists what people decided and commanded, of all budgets that somebody sees, latest first."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from contracts.budget_key import BudgetKey
from contracts.topics import TopicNames
from outbox.approvals import Projects
from outbox.database import Connection, translate_errors
from outbox.queries import QUERIES
from outbox.story import Received, read_row

Place = tuple[datetime, int, int]
"""When a message came in, and its partition and offset in the inbox."""


class PeopleMessage(NamedTuple):
    """One message of a person."""

    key: BudgetKey
    received: Received

    @property
    def place(self) -> Place:
        """Where it is in the order of the list."""
        return (self.received.at, *self.received.place)


async def list_people_messages(
    connection: Connection, projects: Projects, after: Place | None, topics: TopicNames, at_most: int
) -> Sequence[PeopleMessage]:
    """List messages of people, latest first.

    Args:
        connection: a session on a database with our schema.
        projects: of which somebody sees budgets.
        after: the place of the last one of the page before.
        topics: how the topics of this deployment are named.
        at_most: how many.
    """
    parameters = (*projects.list_parameters(), *(after or (None,) * 3), at_most)
    async with translate_errors(connection):
        rows = await connection.fetch(QUERIES["list_people_messages"], *parameters)
    return [
        PeopleMessage(BudgetKey(row["company_id"], row["project_id"], row["budget_id"]), read_row(row, topics))
        for row in rows
    ]
