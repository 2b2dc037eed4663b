"""``budget-bridge rules``: checks what accounting keeps in RULES_DIR."""

import asyncio
import os
from typing import Final

import typer

from outbox.deployment import find_held_jobs
from outbox.migrate import open_checked_session
from worker.commands.problems import report_problems
from worker.rules_files import check_held_jobs, read_rules
from worker.settings import (
    ConfigurationError,
    DatabaseSettings,
    RulesSettings,
    read_settings,
)

rules_app: Final = typer.Typer(no_args_is_help=True, help="What accounting keeps in RULES_DIR.")


@rules_app.command("check")
def check_rules() -> None:
    """Read RULES_DIR and print every problem at once; with DATABASE_URL also against what is exported."""

    async def read_held(settings: DatabaseSettings) -> tuple[str, ...]:
        async with open_checked_session(settings.database_url.get_secret_value()) as connection:
            return check_held_jobs(rules, await find_held_jobs(connection))

    with report_problems():
        rules = read_rules(read_settings(RulesSettings).rules_dir)
        counts = (
            f"{len(rules.jobs)} jobs, {len(rules.phases)} cost codes, {len(rules.cost_types)} cost types, "
            f"{sum(map(len, rules.approvers.values()))} approvers"
        )
        if "DATABASE_URL" in os.environ:
            if problems := asyncio.run(read_held(read_settings(DatabaseSettings))):
                raise ConfigurationError(problems)
            typer.echo(f"the rules are in order: {counts}; they fit what is exported")
        else:
            typer.echo(f"the rules are in order: {counts}")
            typer.echo("not checked against what is exported: DATABASE_URL is not set")
