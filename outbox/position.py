"""The position of a lane: how far it is in its inbox partition, and who alone may move it."""

from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from contracts.records import Record, digest_record
from outbox.database import Connection, translate_errors
from outbox.queries import QUERIES
from outbox.rules import RulesVersion, recall_version


class PositionLost(Exception):  # noqa: N818 - what happened to the lane, not an error of the program
    """Another session moved or took this lane's position, or changed one of its budgets; nothing was stored."""


class LastRecord(NamedTuple):
    """What a position remembers about the record before it."""

    offset: int
    timestamp_ms: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Position:
    """How far a lane is in its inbox partition, and who may move it."""

    inbox_partition: int
    next_offset: int
    owner: UUID
    last: LastRecord | None = None


def describe_record(record: Record) -> LastRecord:
    """Describe a record so that it can be distinguished from any other at its offset."""
    return LastRecord(record.place.offset, record.timestamp_ms, digest_record(record))


async def take_position(connection: Connection, inbox_partition: int, owner: UUID) -> Position | None:
    """Become the only owner of a lane's position.

    Waits until an open transaction of the previous owner has ended; all later ones of that owner fail.

    Args:
        connection: the lane's session.
        inbox_partition: the lane.
        owner: an id that nobody else uses.

    Returns:
        The position; ``None`` where the lane is new.
    """
    async with translate_errors(connection):
        row = await connection.fetchrow(QUERIES["take_position"], inbox_partition, owner)
    if row is None:
        return None
    last = None if row["last_offset"] is None else LastRecord(*row[1:])
    return Position(inbox_partition, row["next_offset"], owner, last)


async def start_position(connection: Connection, inbox_partition: int, next_offset: int, owner: UUID) -> Position:
    """Write the position of a new lane.

    Raises:
        PositionLost: another session has started the lane.
    """
    async with translate_errors(connection):
        started = await connection.execute(QUERIES["start_position"], inbox_partition, next_offset, owner)
    if started != "INSERT 0 1":
        message = f"another session has started inbox partition {inbox_partition}"
        raise PositionLost(message)
    return Position(inbox_partition, next_offset, owner)


async def move_position(connection: Connection, before: Position, after: Position) -> RulesVersion:
    """Move a position within the caller's transaction, in which the rules in force do not change from here on.

    Args:
        connection: the lane's session.
        before: where the lane believes the position to be.
        after: where it is to be.

    Returns:
        The rules in force.

    Raises:
        RulesUnavailable: no version of the rules is in force, or a newer version of this program stored it.
        PositionLost: the position is no longer where its owner believes, or has another owner.
    """
    [found] = await connection.fetch(
        QUERIES["move_position"],
        before.inbox_partition,
        before.next_offset,
        before.owner,
        after.next_offset,
        *(after.last or (None, None, None)),
    )
    rules = await recall_version(connection, found["rules_id"], found["digest"])
    if not found["is_moved"]:
        message = f"the position of inbox partition {before.inbox_partition} was moved or taken by another session"
        raise PositionLost(message)
    return rules


async def read_positions(connection: Connection) -> dict[int, Position]:
    """Read the position of every lane without taking any."""
    async with translate_errors(connection):
        rows = await connection.fetch(QUERIES["read_positions"])
    return {row[0]: Position(row[0], row[1], row[2], None if row[3] is None else LastRecord(*row[3:])) for row in rows}
