"""Checks of the database: version, settings, whether it accepts writes, connections, clock, rights and schema."""

from datetime import UTC, datetime, timedelta
from typing import Final

from outbox.database import Connection, DatabaseDown
from outbox.migrate import SchemaMismatch, check_schema
from outbox.missing_rights import find_parts
from outbox.rights import COMMANDS
from outbox.server import list_server_problems, read_rights, read_server
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
    for check in await _check_rights(connection):
        yield check
    try:
        await check_schema(connection)
    except SchemaMismatch as mismatch:
        yield Check("database", "error", str(mismatch), "run `budget-bridge migrate` with this version")
        return
    yield Check("database", "ok", "the schema is the one that this version needs")


async def _check_rights(connection: Connection) -> list[Check]:
    """Check that the role has every right of what it is for; which that is, is seen from what it may change."""
    role, missing = await read_rights(connection)
    parts = find_parts(missing)
    lacking = [
        Check(
            "permissions",
            "error",
            f"role {role} lacks, for {COMMANDS[part]}: {', '.join(map(str, missing[part]))}",
            f"run what `budget-bridge grants {part} {role}` prints, as the owner of the schema",
        )
        for part in parts
        if missing[part]
    ]
    has = f"role {role} has every right for {', and for '.join(COMMANDS[part] for part in parts)}"
    return lacking or [Check("permissions", "ok", has)]
