"""Reads the record of the budget that a command names."""

from contracts.budget_key import BudgetKey
from outbox.budget_record import BudgetRecord, read_budget_record
from outbox.migrate import open_checked_session
from worker.commands.problems import refuse
from worker.settings import DatabaseSettings


async def read_known_budget(settings: DatabaseSettings, key: BudgetKey, at_most: int | None = None) -> BudgetRecord:
    """Read a budget's record; end the command with exit code 1 if there has never been a message about the budget.

    Args:
        settings: where the database is.
        key: the budget's key.
        at_most: how many of its latest messages received, and of those sent; ``None`` for all.
    """
    async with open_checked_session(settings.database_url.get_secret_value()) as connection:
        record = await read_budget_record(connection, key, at_most)
    if record is None:
        refuse(f"nothing is known about budget {key}")
    return record
