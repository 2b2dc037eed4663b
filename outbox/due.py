"""Finds the budgets that have something due: an acknowledgement, what is parked, or the next piece of a release."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from contracts.budget_key import BudgetKey
from outbox.database import Connection, translate_errors
from outbox.queries import QUERIES

_AT_ONCE: Final = 1000
"""What is due longest comes first, and is no longer due once its deadline has been decided: nothing is left out."""


class Due(NamedTuple):
    """Something of a budget whose time has come."""

    deadline: str
    """``acknowledgement``, ``parked`` or ``release``."""
    key: BudgetKey
    version: int
    due_at: datetime


async def find_due(connection: Connection, inbox_partitions: Sequence[int]) -> list[Due]:
    """Find what is due in these lanes, by the clock of the database, because the clocks of workers may differ.

    Nothing of a budget on hold is due.
    """
    async with translate_errors(connection):
        rows = await connection.fetch(QUERIES["find_due"], inbox_partitions, _AT_ONCE)
    return [Due(row["deadline"], BudgetKey(*row[1:4]), row["version"], row["due_at"]) for row in rows]
