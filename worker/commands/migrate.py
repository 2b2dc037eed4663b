"""``budget-bridge migrate``: brings the database schema up to date."""

import asyncio

from outbox.database import open_session
from outbox.migrate import migrate
from worker.commands.problems import report_problems
from worker.console import Console
from worker.settings import DatabaseSettings, read_settings


def migrate_database() -> None:
    """Create or upgrade the database schema. Safe to run again, and several times in parallel."""
    with report_problems():
        applied = asyncio.run(_migrate(read_settings(DatabaseSettings)))
        for line in [f"applied {name}" for name in applied] or ["the schema is up to date"]:
            Console().print_line(line)


async def _migrate(settings: DatabaseSettings) -> list[str]:
    async with open_session(settings.database_url.get_secret_value()) as connection:
        return await migrate(connection)
