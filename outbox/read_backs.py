"""Lists and counts the budgets whose figures in Spectrum differ from what was exported, or are not known."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from handlers.budget import Budget
from outbox.budget_record import read_listed
from outbox.database import Connection, translate_errors
from outbox.queries import QUERIES


class ReadBackState(NamedTuple):
    """How many budgets compare in one way with what Spectrum was last read to hold."""

    state: str
    """``differs``, ``stale``, ``unknown``; ``never`` for those that should have been read."""
    budgets: int
    read_since: datetime | None
    """Since when the one that was read longest ago has not been read."""


async def count_read_back_states(connection: Connection) -> list[ReadBackState]:
    """Count the budgets of each state but ``matches``."""
    async with translate_errors(connection):
        return [ReadBackState(*row) for row in await connection.fetch(QUERIES["count_read_back_states"])]


async def count_never_read(connection: Connection, patience: timedelta) -> ReadBackState:
    """Count the budgets that were never read, although they should have been for longer than ``patience``."""
    async with translate_errors(connection):
        [row] = await connection.fetch(QUERIES["count_never_read"], patience)
    return ReadBackState("never", *row)


async def list_drift(connection: Connection, at_most: int) -> Sequence[Budget]:
    """List the first ``at_most`` budgets that differ, or of which nothing certain is known.

    Those that differ most come first, then those that were read longest ago. A budget whose state cannot be read has
    nothing but its key.
    """
    async with translate_errors(connection):
        rows = await connection.fetch(QUERIES["list_drift"], at_most)
    return [read_listed(row) for row in rows]
