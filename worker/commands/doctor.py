"""``budget-bridge doctor``: checks everything that the bridge depends on, whatever of it is broken."""

import asyncio
import json
from contextlib import suppress

import typer

from handlers.rules import Rules
from outbox.database import Connection, DatabaseDown, close, connect
from worker.commands.arguments import AsJson
from worker.commands.problems import ANSWER_IS_NO
from worker.console import Console
from worker.database_errors import describe_database_error
from worker.doctor.brokers import check_kafka
from worker.doctor.check import Check, Checks, continue_after_errors
from worker.doctor.configuration import (
    check_encryption,
    check_jobs_in_use,
    check_rules_files,
    check_rules_in_force,
    check_settings,
)
from worker.doctor.database import check_database, has_our_schema
from worker.doctor.readings import check_readings
from worker.doctor.report import print_checks
from worker.doctor.signatures import check_signatures_in_force
from worker.settings import ConfigurationError, DatabaseSettings, KafkaSettings, read_settings


def doctor(*, as_json: AsJson = False) -> None:
    """Check everything that the bridge depends on, and print what is wrong and what to do.

    Changes nothing, and checks the rest when something is broken. Exit code 1 if there is an error.
    """
    checks = asyncio.run(_check_everything())
    if as_json:
        typer.echo(json.dumps([check._asdict() for check in checks], indent=2))
    else:
        print_checks(checks, Console())
    if any(check.state == "error" for check in checks):
        raise typer.Exit(ANSWER_IS_NO)


async def _check_everything() -> list[Check]:
    checks = check_settings() + check_encryption()
    of_rules, rules = check_rules_files()
    checks += of_rules
    connection = None
    with suppress(ConfigurationError):  # reported with the other settings
        url = read_settings(DatabaseSettings).database_url.get_secret_value()
        try:
            connection = await connect(url)
        except DatabaseDown as down:
            problem = describe_database_error(url, down)
            checks.append(Check("database", "error", problem.found, problem.to_do))
    try:
        checks += await _check_servers(connection, rules)
    finally:
        if connection:
            await close(connection, 1.0)
    order = list(dict.fromkeys(check.about for check in checks))
    return sorted(checks, key=lambda check: order.index(check.about))


async def _check_servers(connection: Connection | None, rules: Rules | None) -> list[Check]:
    checks: list[Check] = []
    database = connection if connection and await has_our_schema(connection) else None
    if connection:
        checks += await _collect("database", check_database(connection))
    if database:
        checks += await _collect("rules", check_rules_in_force(database, rules))
    if database:
        checks += await _collect("signatures", check_signatures_in_force(database))
    if database:
        checks += await _collect("readings", check_readings(database))
    if database and rules:
        checks += await _collect("rules", check_jobs_in_use(database, rules))
    try:
        kafka = read_settings(KafkaSettings)
    except ConfigurationError:
        return checks
    return checks + await _collect("kafka", check_kafka(kafka, database))


async def _collect(about: str, checks: Checks) -> list[Check]:
    return [check async for check in continue_after_errors(about, checks)]
