"""Reads what a page shows of one budget: its state, what came in, what became of it, and what was sent of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from contracts.budget_key import BudgetKey
from contracts.cloudevents.message import Message
from contracts.cloudevents.reading import read_message
from contracts.inbound import InboundMessage
from contracts.records import Place
from contracts.topics import TopicNames
from handlers.budget import Budget
from outbox.budget_record import HoldReason, read_shown
from outbox.database import Connection, translate_errors
from outbox.queries import QUERIES
from outbox.stored_records import read_received

PEOPLE_TYPES: Final = (
    "approval.decision.v1",
    "drift.decision.v1",
    "import.requested.v1",
    "export.retry.v1",
    "snapshot.request.v1",
    "budget.release.v1",
    "budget.reset.v1",
    "budget.retrieved.v1",
)
"""What people decide and command, and what the index ``history_of_people`` has."""

_MOST_HOLDS: Final = 20


class Sent(NamedTuple):
    """A message that was sent because of another one."""

    at: datetime
    id: UUID
    type: str | None
    """``None`` for a dead letter."""
    topic: str
    reference: str | None
    """Of an export, its change reference."""
    attempt: int | None


class Received(NamedTuple):
    """A message that came in, and what became of it."""

    at: datetime
    source: str
    id: str
    type: str
    version: int | None
    verdict: str
    detail: str
    rules_id: int
    kid: str | None
    """Of the key whose signature was verified; ``None`` where the rules did not want one, or nobody had proven it."""
    place: tuple[int, int]
    """Partition and offset in the inbox."""
    origin: Place
    """Where it came in."""
    body: InboundMessage | None
    """Of a message of people; ``None`` where it is pruned."""
    sent: tuple[Sent, ...]


class LockedVersion(NamedTuple):
    """A version that was locked."""

    number: int
    at: datetime
    verdict: str
    detail: str


@dataclass(frozen=True, slots=True)
class Story:
    """What the database holds of one budget as of one moment."""

    key: BudgetKey
    budget: Budget | None
    """``None`` where it has no state yet, or one that cannot be read."""
    unreadable: str | None
    revision: int
    received: tuple[Received, ...]
    """The latest messages, latest first."""
    received_total: int
    held_total: int
    holds: tuple[HoldReason, ...]
    versions: tuple[LockedVersion, ...]
    pruned_before: datetime | None


async def read_story(connection: Connection, key: BudgetKey, topics: TopicNames, at_most: int) -> Story | None:
    """Read the story of one budget.

    Args:
        connection: a transaction that reads as of one moment.
        key: of the budget.
        topics: how the topics of this deployment are named.
        at_most: how many messages, and how many versions.

    Returns:
        The story; ``None`` for a budget that no message ever named.
    """
    async with translate_errors(connection):
        state = await connection.fetchrow(QUERIES["show_budget_at"], *key)
        rows = await connection.fetch(QUERIES["show_received"], *key, at_most, list(PEOPLE_TYPES))
        if state is None and not rows:
            return None
        places = [row["inbox_partition"] for row in rows], [row["inbox_offset"] for row in rows]
        caused = await connection.fetch(QUERIES["show_caused"], *key, *places)
        totals = await connection.fetchrow(QUERIES["count_received"], *key)
        holds = await connection.fetch(QUERIES["show_holds"], *key, _MOST_HOLDS)
        versions = await connection.fetch(QUERIES["list_versions"], *key, at_most)
        pruned_before = await connection.fetchval(QUERIES["read_pruned_before"])
    budget, unreadable = read_shown(key, state) if state else (None, None)
    sent: dict[tuple[int, int], list[Sent]] = {}
    for row in caused:
        sent.setdefault((row[0], row[1]), []).append(Sent(*row[2:]))
    return Story(
        key,
        budget,
        unreadable,
        state["revision"] if state else 0,
        tuple(read_row(row, topics, sent.get((row["inbox_partition"], row["inbox_offset"]), ())) for row in rows),
        totals["messages"] if totals else 0,
        totals["held"] if totals else 0,
        tuple(HoldReason(*row) for row in holds),
        tuple(LockedVersion(*row) for row in versions),
        pruned_before,
    )


def read_row(row: Any, topics: TopicNames, sent: Sequence[Sent] = ()) -> Received:
    """Read a message of history, with its content where the row has it."""
    body = None
    if row["body"] is not None:
        record = read_received(row)
        message = read_message(topics.short(record.place.topic), record)
        body = message.body if isinstance(message, Message) else None
    return Received(
        row["at"],
        row["source"],
        row["id"],
        row["type"],
        row["budget_version"],
        row["verdict"],
        row["detail"],
        row["rules_id"],
        row["kid"],
        (row["inbox_partition"], row["inbox_offset"]),
        Place(row["origin_topic"], row["origin_partition"], row["origin_offset"]),
        body,
        tuple(sent),
    )


async def find_last_request(connection: Connection, key: BudgetKey, version: int) -> tuple[datetime, bytes] | None:
    """Find the last request for the approval of a version: when it was sent, and its data; ``None`` if it is pruned."""
    async with translate_errors(connection):
        row = await connection.fetchrow(QUERIES["find_last_request"], *key, version)
    return (row["at"], row["value"]) if row and row["value"] is not None else None
