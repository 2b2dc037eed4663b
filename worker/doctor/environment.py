"""The doctor's look at the ground: settings, rules and the database."""

import os
from datetime import UTC, datetime, timedelta
from typing import Final

from handlers.rules import Rules
from outbox.checkup import list_missing_rights, read_state
from outbox.database import OLDEST_VERSION, Connection, DatabaseDown
from outbox.deployment import find_held_jobs
from outbox.migrate import SchemaMismatch, check_schema
from worker.doctor.checks import Check, Checks
from worker.rules_files import check_held_jobs, read_rules
from worker.settings import ConfigurationError, RulesSettings, WorkerSettings, read_settings

CLOCKS: Final = timedelta(seconds=5)
FEW_CONNECTIONS: Final = 10


def examine_settings() -> list[Check]:
    """Look at the environment: every problem at once."""
    try:
        read_settings(WorkerSettings)
    except ConfigurationError as broken:
        to_do = "set it in the environment; the README lists them"
        return [Check("configuration", "wrong", problem, to_do) for problem in broken.problems]
    return [Check("configuration", "ok", "every setting that the worker needs is there")]


def examine_rules_files() -> tuple[list[Check], Rules | None]:
    """Look at what accounting keeps; gives the rules where they can be read."""
    try:
        rules = read_rules(read_settings(RulesSettings).rules_dir)
    except ConfigurationError as broken:
        if "RULES_DIR" not in os.environ:
            return [], None
        to_do = "mend it; `budget-bridge rules check` reads it again"
        return [Check("rules", "wrong", problem, to_do) for problem in broken.problems], None
    counts = f"{len(rules.jobs)} jobs, {len(rules.phases)} cost codes, {len(rules.cost_types)} cost types"
    checks = [Check("rules", "ok", f"they can be read: {counts}")]
    lacking = [job for job in rules.jobs if not {job, (job[0], None)} & rules.approvers.keys()]
    if lacking:
        company, project = lacking[0]
        says = f"{len(lacking)} projects with a job have no approver, such as {company}/{project}"
        checks.append(Check("rules", "look", says, "add some to approvers.csv, or nobody can accept"))
    return checks, rules


async def is_fit(connection: Connection) -> bool:
    """Tell whether the schema is the one that this version needs."""
    try:
        await check_schema(connection)
    except (DatabaseDown, SchemaMismatch):
        # Told by the look at the database itself.
        return False
    return True


async def examine_database(connection: Connection) -> Checks:
    """Look at the database: its version, room, clock, schema and what it permits."""
    state = await read_state(connection)
    now = datetime.now(UTC)  # noqa: TID251 - to compare it
    if state.major < OLDEST_VERSION:
        yield Check("database", "wrong", f"PostgreSQL {state.version}", f"use PostgreSQL {OLDEST_VERSION} or later")
    else:
        yield Check("database", "ok", f"PostgreSQL {state.version} answers")
    if state.is_standby or state.is_read_only:
        kind = "a standby" if state.is_standby else "set to read-only"
        yield Check("database", "wrong", f"it is {kind}: nothing can be stored", "let DATABASE_URL name the primary")
    if state.connections_left < FEW_CONNECTIONS:
        to_do = "raise max_connections: a worker takes one for each lane, and three more"
        yield Check("database", "look", f"{state.connections_left} connections are left", to_do)
    difference = abs(state.now - now)
    if difference > CLOCKS:
        says = f"its clock and this machine's differ by {difference.total_seconds():.0f} s"
        to_do = "set both by NTP: deadlines go by the database's clock, figures of age by a worker's"
        yield Check("clock", "look", says, to_do)
    else:
        yield Check("clock", "ok", "the database's and this machine's agree")
    # First: without the right to read, nothing can be said of the schema.
    if missing := await list_missing_rights(connection):
        to_do = "grant them to the role in DATABASE_URL (deleting is for `prune` alone)"
        yield Check("permissions", "wrong", f"the database does not permit: {', '.join(missing)}", to_do)
    else:
        yield Check("permissions", "ok", "the database permits all that is done")
    try:
        await check_schema(connection)
    except SchemaMismatch as unfit:
        yield Check("database", "wrong", str(unfit), "run `budget-bridge migrate` with this version")
        return
    yield Check("database", "ok", "its schema is the one that this version needs")


async def examine_held_jobs(connection: Connection, rules: Rules) -> Checks:
    """Look whether the rules fit what Spectrum may hold."""
    problems = check_held_jobs(rules, await find_held_jobs(connection))
    for problem in problems:
        yield Check("rules", "wrong", problem, "give the project its job back in jobs.csv")
    if not problems:
        yield Check("rules", "ok", "they fit what Spectrum may hold")
