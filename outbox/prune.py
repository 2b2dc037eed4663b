"""Deletes old data that is no longer needed: rows of the outbox, and the bytes of messages in history.

It works in small steps, so lanes may run meanwhile. The caller states how far each lane is published.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from outbox.database import Connection, DatabaseBusy, transaction, translate_errors
from outbox.queries import QUERIES

AT_ONCE: Final = 1000
"""Rows per transaction: few enough that no lane has to wait noticeably."""

_BEFORE_ALL: Final = -(2**63)


class Pruned(NamedTuple):
    """How much was deleted, or would be."""

    rows: int
    """Rows of the outbox."""
    messages: int
    """Messages of history whose bytes are deleted; the messages themselves are kept."""

    @property
    def total(self) -> int:
        """Rows and messages together."""
        return self.rows + self.messages

    def add(self, other: "Pruned") -> "Pruned":
        """Add up two."""
        return Pruned(self.rows + other.rows, self.messages + other.messages)


@dataclass(frozen=True, slots=True)
class Old:
    """What is old in a lane: everything below its published offset that arrived before a time."""

    inbox_partition: int
    published: int
    before: datetime


async def find_cutoff(connection: Connection, age: timedelta) -> datetime:
    """Compute the time that is ``age`` ago by the clock of the database."""
    async with translate_errors(connection):
        found: datetime = await connection.fetchval(QUERIES["find_cutoff"], age)
    return found


async def lock_pruning(connection: Connection) -> None:
    """Keep others from pruning and recovering until the session ends.

    Raises:
        DatabaseBusy: another prune or a recovery is running.
    """
    async with translate_errors(connection):
        is_alone = await connection.fetchval(QUERIES["lock_pruning"])
    if not is_alone:
        message = "another `budget-bridge prune` or a `budget-bridge recover` is at work on this database"
        raise DatabaseBusy(message)


async def prune(connection: Connection, old: Old, *, dry_run: bool) -> AsyncIterator[Pruned]:
    """Delete what is old in a lane, or only count it.

    Args:
        connection: a session that holds the lock of ``lock_pruning``.
        old: what is old.
        dry_run: count only, and delete nothing.

    Yields:
        What each step deleted, or would delete.
    """
    # Rows first: a message keeps its bytes as long as a row that it caused is left.
    async for rows in _prune_rows(connection, old, dry_run=dry_run):
        yield Pruned(rows, 0)
    async for messages in _prune_messages(connection, old, dry_run=dry_run):
        yield Pruned(0, messages)


async def _prune_rows(connection: Connection, old: Old, *, dry_run: bool) -> AsyncIterator[int]:
    lane, after = old.inbox_partition, (_BEFORE_ALL, 0)
    while True:
        async with translate_errors(connection), transaction(connection):
            found = await connection.fetch(QUERIES["find_old_rows"], lane, *after, old.published, old.before, AT_ONCE)
            if found and not dry_run:
                offsets, ordinals = ([row[column] for row in found] for column in (0, 1))
                await connection.execute(QUERIES["drop_rows"], lane, offsets, ordinals)
                await connection.execute(QUERIES["remember_pruning"], old.before)
        yield len(found)
        if len(found) < AT_ONCE:
            return
        after = tuple(found[-1])


async def _prune_messages(connection: Connection, old: Old, *, dry_run: bool) -> AsyncIterator[int]:
    lane, after = old.inbox_partition, _BEFORE_ALL
    while True:
        async with translate_errors(connection), transaction(connection):
            found = await connection.fetch(
                QUERIES["find_old_messages"], lane, after, old.published, old.before, AT_ONCE
            )
            going = [row["inbox_offset"] for row in found if row["goes"]]
            if going and not dry_run:
                await connection.execute(QUERIES["drop_bytes"], lane, going)
                await connection.execute(QUERIES["remember_pruning"], old.before)
        yield len(going)
        if len(found) < AT_ONCE:
            return
        after = found[-1]["inbox_offset"]
