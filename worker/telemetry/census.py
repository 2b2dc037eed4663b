"""Counts the budgets by status now and then, for the metrics."""

from typing import Final

from outbox.database import DatabaseDown, close, connect
from outbox.overview import count_statuses
from worker.telemetry.metrics import tell_statuses

CENSUS_SECONDS: Final = 10.0


async def take_census(database_url: str) -> None:
    """Count the budgets of each status, once."""
    try:
        connection = await connect(database_url)
        try:
            tell_statuses(await count_statuses(connection))
        finally:
            await close(connection, 1.0)
    except DatabaseDown:
        # The lanes tell it; here the last figures stay.
        return
