"""Checks of the database: version, settings, whether it accepts writes, connections, clock, rights and schema."""

from datetime import UTC, datetime, timedelta
from typing import Final

from outbox.database import Connection, DatabaseDown
from outbox.migrate import SchemaMismatch, check_schema
from outbox.server import list_missing_rights, list_server_problems, read_server
from worker.doctor.check import Check, Checks

CLOCK_TOLERANCE: Final = timedelta(seconds=5)
FEW_CONNECTIONS: Final = 10


async def has_our_schema(connection: Connection) -> bool:
    """Return whether the schema is the one that this version needs."""
    try:
        await check_schema(connection)
    except (DatabaseDown, SchemaMismatch):
        # check_database reports it.
        return False
    return True


async def check_database(connection: Connection) -> Checks:
    """Check the database; raises ``DatabaseDown`` where it cannot continue."""
    state = await read_server(connection)
    now = datetime.now(UTC)  # noqa: TID251 - compared with the database's clock
    problems = list_server_problems(state)
    for problem in problems:
        found, _, to_do = problem.rpartition(": ")
        yield Check("database", "error", found, to_do)
    if not problems:
        yield Check("database", "ok", f"PostgreSQL {state.version}")
    if not state.is_durable:
        to_do = "set both to on: what was published must survive a power cut"
        yield Check("database", "warning", "fsync or full_page_writes is off", to_do)
    if state.is_standby or state.is_read_only:
        kind = "a standby" if state.is_standby else "set to read-only"
        yield Check("database", "error", f"it is {kind}: nothing can be stored", "point DATABASE_URL at the primary")
    if state.connections_left < FEW_CONNECTIONS:
        to_do = "raise max_connections: a worker uses one for each lane, and three more"
        yield Check("database", "warning", f"{state.connections_left} connections are left", to_do)
    difference = abs(state.now - now)
    if difference > CLOCK_TOLERANCE:
        found = f"the clocks of the database and of this machine differ by {difference.total_seconds():.0f} s"
        to_do = "set both by NTP: deadlines follow the database's clock, ages in metrics the worker's"
        yield Check("clock", "warning", found, to_do)
    else:
        yield Check("clock", "ok", "the clocks of the database and of this machine agree")
    # Before the schema, which cannot be read without rights.
    if missing := await list_missing_rights(connection):
        found = f"the role in DATABASE_URL lacks: {', '.join(missing)}"
        yield Check("permissions", "error", found, "grant them to the role: docs/operations.md lists all")
    else:
        yield Check("permissions", "ok", "the role in DATABASE_URL has every right that a worker needs")
    try:
        await check_schema(connection)
    except SchemaMismatch as mismatch:
        yield Check("database", "error", str(mismatch), "run `budget-bridge migrate` with this version")
        return
    yield Check("database", "ok", "the schema is the one that this version needs")
