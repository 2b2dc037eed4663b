"""Finds what is due: acknowledgements, parked messages, pieces of releases, requests for snapshots, and imports."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from contracts.budget_key import BudgetKey
from outbox.database import Connection, translate_errors
from outbox.queries import QUERIES

_AT_ONCE: Final = 1000
"""The longest due come first and are no longer due once they are decided, so the others follow in later rounds."""


class Due(NamedTuple):
    """One deadline that has passed."""

    deadline: str
    """As ``deadline.passed.v1`` names it."""
    key: BudgetKey
    version: int | None
    """``None`` where it is one of the budget as a whole."""
    due_at: datetime


async def find_due(connection: Connection, inbox_partitions: Sequence[int]) -> list[Due]:
    """Find what is due in these lanes, except for budgets on hold.

    The clock of the database decides, because the clocks of workers may differ.
    """
    async with translate_errors(connection):
        rows = await connection.fetch(QUERIES["find_due"], inbox_partitions, _AT_ONCE)
    return [Due(row["deadline"], BudgetKey(*row[1:4]), row["version"], row["due_at"]) for row in rows]
