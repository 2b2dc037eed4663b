"""``budget-bridge migrate``: brings the database schema up to date."""

import asyncio

import typer

from outbox.database import open_session
from outbox.migrate import migrate
from worker.commands.shared import tell_problems
from worker.settings import (
    DatabaseSettings,
    read_settings,
)


def migrate_database() -> None:
    """Bring the database schema up to date. Safe to run twice, and by many at once."""

    async def work(settings: DatabaseSettings) -> list[str]:
        async with open_session(settings.database_url.get_secret_value()) as connection:
            return await migrate(connection)

    with tell_problems():
        applied = asyncio.run(work(read_settings(DatabaseSettings)))
        typer.echo("\n".join(f"applied {name}" for name in applied) or "the schema is up to date")
