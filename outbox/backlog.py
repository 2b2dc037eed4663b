"""Reads back what a lane has to publish, in pieces of limited size."""

from collections.abc import AsyncIterator
from typing import Final, NamedTuple

from contracts.records import Outgoing
from outbox.database import Connection, translate_errors
from outbox.queries import QUERIES
from outbox.stored_records import read_outgoing

_ROWS_AT_ONCE: Final = 500
_BYTES_AT_ONCE: Final = 32 * 1024 * 1024
"""Sum of the values: twice the largest message, and little enough that every lane may hold a piece in memory."""


class StoredRow(NamedTuple):
    """One message of the outbox, and the offset of the record that caused it."""

    inbox_offset: int
    record: Outgoing


async def read_outbox(
    connection: Connection, inbox_partition: int, start: int, stop: int, at_most: int, bytes_at_most: int = 2**62
) -> list[StoredRow]:
    """Read the messages that a range of inbox records caused, in order.

    Args:
        connection: the session to read with.
        inbox_partition: the lane.
        start: the first inbox offset.
        stop: the inbox offset after the last.
        at_most: how many rows at most.
        bytes_at_most: reading stops after the row with which the values reach this many bytes.
    """
    async with translate_errors(connection):
        rows = await connection.fetch(QUERIES["read_outbox"], inbox_partition, start, stop, at_most, bytes_at_most)
    return [StoredRow(row["inbox_offset"], read_outgoing(row)) for row in rows]


async def read_backlog(
    connection: Connection, inbox_partition: int, start: int, stop: int
) -> AsyncIterator[tuple[int, list[StoredRow]]]:
    """Read the messages that a range of inbox records caused, in pieces that are each published in one transaction.

    Args:
        connection: the session to read with.
        inbox_partition: the lane.
        start: the first inbox offset.
        stop: the inbox offset after the last.

    Yields:
        The offset up to which everything has been published once the piece is, and the rows of the piece.
    """
    rows_at_most, bytes_at_most = _ROWS_AT_ONCE, _BYTES_AT_ONCE
    while start < stop:
        rows = await read_outbox(connection, inbox_partition, start, stop, rows_at_most, bytes_at_most)
        size = sum(len(row.record.value or b"") for row in rows)
        following = stop
        if len(rows) == rows_at_most or size >= bytes_at_most:
            # The last record may have more rows: what one record causes is published in one transaction.
            following = rows[-1].inbox_offset
            rows = [row for row in rows if row.inbox_offset < following]
            if not rows:
                rows_at_most, bytes_at_most = rows_at_most * 2, bytes_at_most * 2
                continue
        yield following, rows
        start = following
        rows_at_most, bytes_at_most = _ROWS_AT_ONCE, _BYTES_AT_ONCE
