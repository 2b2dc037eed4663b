"""Reads what was set aside, with the reason that was told and the bytes as they came in."""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from contracts.budget_key import BudgetKey
from contracts.records import Headers, Place
from outbox.batch import unpack_headers
from outbox.database import Connection, tell_outages
from outbox.queries import QUERIES


class SetAside(NamedTuple):
    """One record that was set aside."""

    id: UUID
    at: datetime
    reason: str
    detail: str
    budget: BudgetKey | None
    """Whose it is, where it could be read."""
    message_id: str | None
    """Its own id, where it could be read; it is used up then."""
    origin: Place
    inbox: tuple[int, int]
    """Its partition and offset in the inbox."""
    key: bytes | None
    value: bytes | None
    headers: Headers


class Wanted(NamedTuple):
    """Which of them: one by its id, what came since a time, what is of one budget; all where nothing is said."""

    id: UUID | None = None
    since: datetime | None = None
    budget: BudgetKey | None = None


async def read_dead_letters(connection: Connection, topic: str, wanted: Wanted) -> list[SetAside]:
    """Read what was set aside, latest first."""
    which = (wanted.id, wanted.since, *(wanted.budget or (None, None, None)))
    async with tell_outages():
        return [_read(row) for row in await connection.fetch(QUERIES["list_dead_letters"], topic, *which)]


def _read(row: Any) -> SetAside:
    told = {name: (value or b"").decode(errors="replace") for name, value in unpack_headers(row["told"])}
    budget = None
    if row["budget_id"] is not None:
        budget = BudgetKey(row["company_id"], row["project_id"], row["budget_id"])
    return SetAside(
        row["id"],
        row["at"],
        told["dead_letter_reason"],
        told["dead_letter_detail"],
        budget,
        row["message_id"] if budget else None,
        Place(row["origin_topic"], row["origin_partition"], row["origin_offset"]),
        (row["inbox_partition"], row["inbox_offset"]),
        row["key"],
        row["body"],
        unpack_headers(row["headers"]),
    )
