"""Reads what is known of the budget that a command names."""

from contracts.budget_key import BudgetKey
from outbox.deployment import BudgetRecord, read_story
from outbox.migrate import open_checked_session
from worker.commands.problems import refuse
from worker.settings import DatabaseSettings


async def read_known_budget(settings: DatabaseSettings, key: BudgetKey) -> BudgetRecord:
    """Read a budget's record; ends the command with exit code 1 where no message ever named the budget."""
    async with open_checked_session(settings.database_url.get_secret_value()) as connection:
        record = await read_story(connection, key)
    if record is None:
        refuse(f"nothing is known of budget {key}")
    return record
