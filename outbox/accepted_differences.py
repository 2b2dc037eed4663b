"""The differences that people have accepted, each with who did it and why."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from contracts.budget_key import BudgetKey
from outbox.columns import clean_text, transpose
from outbox.database import Connection, translate_errors
from outbox.queries import QUERIES


class AcceptedDifference(NamedTuple):
    """A difference as it was accepted."""

    accepted_at: datetime
    accepted_by: str
    why: str
    claim: str
    kind: str
    budget: BudgetKey | None
    found: str


class FoundDifference(NamedTuple):
    """A difference that is to be accepted."""

    digest: bytes
    """Identifies the difference when it is found again."""
    claim: str
    kind: str
    budget: BudgetKey | None
    found: str


async def read_accepted_digests(connection: Connection) -> frozenset[bytes]:
    """Read the digests of the accepted differences."""
    async with translate_errors(connection):
        return frozenset(row[0] for row in await connection.fetch(QUERIES["read_accepted_digests"]))


async def list_accepted(connection: Connection, at_most: int) -> list[AcceptedDifference]:
    """List the accepted differences, latest first."""
    async with translate_errors(connection):
        rows = await connection.fetch(QUERIES["list_accepted"], at_most)
    return [
        AcceptedDifference(
            row["accepted_at"],
            row["accepted_by"],
            row["why"],
            row["claim"],
            row["kind"],
            None if row["budget_id"] is None else BudgetKey(*row[5:8]),
            row["found"],
        )
        for row in rows
    ]


async def accept_differences(connection: Connection, found: Sequence[FoundDifference], by: str, why: str) -> int:
    """Record that a person accepts differences.

    Args:
        connection: a session on a database with our schema.
        found: the differences.
        by: who accepts them.
        why: their reason.

    Returns:
        How many of them were not accepted before.
    """
    rows = [
        (one.digest, one.claim, one.kind, *(one.budget or (None, None, None)), clean_text(one.found)) for one in found
    ]
    async with translate_errors(connection):
        added = await connection.fetch(QUERIES["accept_differences"], *transpose(rows, 7), by, why)
    return len(added)
