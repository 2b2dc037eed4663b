"""The command of the doctor: looks at one thing after the other, and goes on whatever is broken."""

import asyncio
import json
from typing import Annotated

import typer

from handlers.rules import Rules
from outbox.database import Connection, DatabaseDown, close, connect
from worker.commands.shared import ANSWER_IS_NO, make_console
from worker.doctor.checks import Check, Checks, keep_going, show_checks
from worker.doctor.environment import examine_database, examine_held_jobs, examine_rules_files, examine_settings, is_fit
from worker.doctor.kafka import examine_kafka
from worker.settings import ConfigurationError, DatabaseSettings, KafkaSettings, read_settings


def doctor(*, as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False) -> None:
    """Look at everything that the bridge stands on, and say what is wrong and what to do.

    It only looks, and goes on whatever is broken. Exit code 1 when anything is wrong.
    """
    checks = asyncio.run(_examine())
    if as_json:
        typer.echo(json.dumps([check._asdict() for check in checks], indent=2))
    else:
        show_checks(checks, make_console())
    if any(check.state == "wrong" for check in checks):
        raise typer.Exit(ANSWER_IS_NO)


async def _examine() -> list[Check]:
    checks = examine_settings()
    of_rules, rules = examine_rules_files()
    checks += of_rules
    connection = None
    try:
        connection = await connect(read_settings(DatabaseSettings).database_url.get_secret_value())
    except ConfigurationError:
        pass  # told with the other settings
    except DatabaseDown as down:
        checks.append(Check("database", "wrong", f"it does not answer: {down}", "start it, or mend DATABASE_URL"))
    try:
        checks += await _examine_servers(connection, rules)
    finally:
        if connection:
            await close(connection, 1.0)
    order = list(dict.fromkeys(check.about for check in checks))
    return sorted(checks, key=lambda check: order.index(check.about))


async def _examine_servers(connection: Connection | None, rules: Rules | None) -> list[Check]:
    checks: list[Check] = []
    database = connection if connection and await is_fit(connection) else None
    if connection:
        checks += await _collect("database", examine_database(connection))
    if database and rules:
        checks += await _collect("rules", examine_held_jobs(database, rules))
    try:
        kafka = read_settings(KafkaSettings)
    except ConfigurationError:
        return checks
    return checks + await _collect("kafka", examine_kafka(kafka, database))


async def _collect(about: str, checks: Checks) -> list[Check]:
    return [check async for check in keep_going(about, checks)]
