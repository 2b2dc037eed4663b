"""Reads dead letters, which ``outbox_rows`` writes: lists and counts them, and reads single ones with their bytes."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple, get_args
from uuid import UUID

from contracts.budget_key import BudgetKey
from contracts.records import Headers, Place
from handlers.decision import DeadLetter
from outbox.approvals import Projects
from outbox.database import Connection, translate_errors
from outbox.queries import QUERIES
from outbox.stored_records import unpack_headers

REASONS: Final[tuple[str, ...]] = get_args(DeadLetter.__annotations__["reason"])


LetterPlace = tuple[datetime, int, int, int]
"""When a dead letter was stored, and its place in the outbox."""


class DeadLetterFilter(NamedTuple):
    """Which dead letters are wanted: with one reason, since a time, of one budget; all if nothing is set.

    An unreadable record counts as one of a budget if its key or the start of its body names the budget.
    """

    reason: str | None = None
    since: datetime | None = None
    budget: BudgetKey | None = None

    def list_parameters(self) -> tuple[object, ...]:
        """List the parameters of the SQL statements after the topic."""
        return (self.since, *(self.budget or (None, None, None)), self.reason)


class ListedDeadLetter(NamedTuple):
    """One dead letter, without its bytes."""

    id: UUID
    at: datetime
    reason: str
    detail: str
    budget: BudgetKey | None
    """The budget of the message; ``None`` where it could not be read."""
    message_id: str | None
    """The message's own id, which cannot be used again; ``None`` where it could not be read."""
    origin: Place
    inbox: tuple[int, int]
    """Partition and offset in the inbox."""


class DeadLetterCount(NamedTuple):
    """How many dead letters have one reason."""

    reason: str
    letters: int
    first_at: datetime
    last_at: datetime


class StoredDeadLetter(NamedTuple):
    """One dead letter with its bytes."""

    listed: ListedDeadLetter
    key: bytes | None
    value: bytes | None
    headers: Headers


async def list_dead_letters(
    connection: Connection, topic: str, wanted: DeadLetterFilter, at_most: int | None
) -> Sequence[ListedDeadLetter]:
    """List dead letters, latest first.

    Args:
        connection: a session on a database with our schema.
        topic: the full name of the topic of dead letters.
        wanted: which of them.
        at_most: how many; ``None`` for all.
    """
    async with translate_errors(connection):
        rows = await connection.fetch(QUERIES["list_dead_letters"], topic, *wanted.list_parameters(), at_most)
    return [_list(row, row["reason"], row["detail"].removeprefix(f"{row['reason']}: ")) for row in rows]


async def list_dead_letters_page(
    connection: Connection,
    topic: str,
    wanted: DeadLetterFilter,
    seen: Projects,
    after: LetterPlace | None,
    at_most: int,
) -> Sequence[tuple[ListedDeadLetter, LetterPlace]]:
    """List dead letters of the budgets that somebody sees, latest first, each with its place in that order.

    Those whose budget is not known are seen by whoever sees all of a company.

    Args:
        connection: a session on a database with our schema.
        topic: the full name of the topic of dead letters.
        wanted: which of them.
        seen: of which somebody sees dead letters.
        after: the place of the last one of the page before.
        at_most: how many.
    """
    sees_unknown = bool(seen.companies)
    parameters = (*wanted.list_parameters(), *seen.list_parameters(), sees_unknown, *(after or (None,) * 4), at_most)
    async with translate_errors(connection):
        rows = await connection.fetch(QUERIES["list_dead_letters_page"], topic, *parameters)
    return [
        (
            _list(row, row["reason"], row["detail"].removeprefix(f"{row['reason']}: ")),
            (row["at"], row["inbox_partition"], row["inbox_offset"], row["ordinal"]),
        )
        for row in rows
    ]


async def count_dead_letters(connection: Connection, topic: str, wanted: DeadLetterFilter) -> Sequence[DeadLetterCount]:
    """Count dead letters by reason, of those that ``list_dead_letters`` lists."""
    async with translate_errors(connection):
        rows = await connection.fetch(QUERIES["count_dead_letters"], topic, *wanted.list_parameters())
    return [DeadLetterCount(*row) for row in rows]


async def find_dead_letter(connection: Connection, topic: str, letter: UUID) -> tuple[int, int] | None:
    """Find the inbox partition and offset of the dead letter with an id; ``None`` where there is none."""
    async with translate_errors(connection):
        row = await connection.fetchrow(QUERIES["find_dead_letter"], topic, letter)
    return (row[0], row[1]) if row else None


async def read_dead_letter(
    connection: Connection, topic: str, letter: UUID, inbox: tuple[int, int]
) -> StoredDeadLetter | None:
    """Read one dead letter with its bytes.

    Args:
        connection: a session on a database with our schema.
        topic: the full name of the topic of dead letters.
        letter: its id.
        inbox: its partition and offset in the inbox.

    Returns:
        The letter; ``None`` where there is none.
    """
    async with translate_errors(connection):
        row = await connection.fetchrow(QUERIES["show_dead_letter"], topic, letter, *inbox)
    if row is None:
        return None
    ours = {name: (value or b"").decode(errors="replace") for name, value in unpack_headers(row["letter_headers"])}
    return StoredDeadLetter(
        _list(row, ours["dead_letter_reason"], ours["dead_letter_detail"]),
        row["key"],
        row["body"],
        unpack_headers(row["headers"]),
    )


def _list(row: Any, reason: str, detail: str) -> ListedDeadLetter:
    budget = None
    if row["budget_id"] is not None:
        budget = BudgetKey(row["company_id"], row["project_id"], row["budget_id"])
    return ListedDeadLetter(
        row["id"],
        row["at"],
        reason,
        detail,
        budget,
        row["message_id"] if budget else None,
        Place(row["origin_topic"], row["origin_partition"], row["origin_offset"]),
        (row["inbox_partition"], row["inbox_offset"]),
    )
