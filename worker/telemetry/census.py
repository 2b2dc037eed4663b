"""Counts the budgets by status and by what Spectrum holds, and reads which rules are in force, for the metrics."""

import asyncio
from contextlib import suppress
from typing import Final

from outbox.database import DatabaseDown, open_session
from outbox.overview import count_read_back, count_statuses
from outbox.rules import find_application
from worker.telemetry.metrics import record_read_back, record_statuses, set_rules_in_force

CENSUS_SECONDS: Final = 10.0


async def take_census(database_url: str, stopping: asyncio.Event) -> None:
    """Count the budgets of each status until the stop; while the database is down, the last figures stay."""
    while not stopping.is_set():
        with suppress(DatabaseDown):
            async with open_session(database_url) as connection:
                record_statuses(await count_statuses(connection))
                record_read_back(await count_read_back(connection))
                # An idle lane does not see a change until its next batch.
                if application := await find_application(connection):
                    set_rules_in_force(application.rules_id, application.digest)
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), CENSUS_SECONDS)
