"""``budget-bridge rules``: checks what accounting keeps in RULES_DIR."""

import asyncio
import os
from typing import Final

import typer

from outbox.database import close, connect
from outbox.deployment import find_held_jobs
from outbox.migrate import check_schema
from worker.commands.shared import tell_problems
from worker.rules_files import check_held_jobs, read_rules
from worker.settings import (
    ConfigurationBroken,
    DatabaseSettings,
    RulesSettings,
    read_settings,
)

rules_app: Final = typer.Typer(no_args_is_help=True, help="What accounting keeps in RULES_DIR.")


@rules_app.command("check")
def check_rules() -> None:
    """Read RULES_DIR and print every problem at once; with DATABASE_URL also against what is exported."""

    async def read_held(settings: DatabaseSettings) -> tuple[str, ...]:
        connection = await connect(settings.database_url.get_secret_value())
        try:
            await check_schema(connection)
            return check_held_jobs(rules, await find_held_jobs(connection))
        finally:
            await close(connection, 1.0)

    with tell_problems():
        rules = read_rules(read_settings(RulesSettings).rules_dir)
        counts = (
            f"{len(rules.jobs)} jobs, {len(rules.phases)} cost codes, {len(rules.cost_types)} cost types, "
            f"{sum(map(len, rules.approvers.values()))} approvers"
        )
        if "DATABASE_URL" in os.environ:
            if problems := asyncio.run(read_held(read_settings(DatabaseSettings))):
                raise ConfigurationBroken(problems)
            typer.echo(f"the rules are in order: {counts}; they fit what is exported")
        else:
            typer.echo(f"the rules are in order: {counts}")
            typer.echo("not checked against what is exported: DATABASE_URL is not set")
