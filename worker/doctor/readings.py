"""Checks of what is read in Spectrum: whether requests for snapshots are answered, and how old the readings are."""

from datetime import timedelta
from typing import Final

from contracts.fields import write_time
from handlers.rules import Rules
from handlers.snapshot_requests import MOST_REQUESTS
from outbox.database import Connection
from outbox.read_backs import count_never_read, count_read_back_states
from outbox.rules import RulesUnavailable, find_application, read_version
from worker.doctor.check import Check, Checks

_ANSWER: Final = (
    "let the connector read spectrum.requests and answer on spectrum.snapshots, which docs/messages.md describes; "
    'until it can, set after_success = false and every = "off" under [readback]'
)


async def check_readings(connection: Connection) -> Checks:
    """Check how old readings are by the rules in force; raises ``DatabaseDown``."""
    application = await find_application(connection)
    try:
        rules = await read_version(connection, application.rules_id) if application else None
    except RulesUnavailable:
        # A newer version of this program decides.
        return
    if rules is None:
        return
    patience = find_patience(rules)
    never = await count_never_read(connection, patience) if patience else None
    if never and never.budgets and never.read_since:
        found = f"snapshots of {never.budgets} budgets were asked for, and no reading came of it, the first since"
        yield Check("readings", "warning", f"{found} {write_time(never.read_since)}", _ANSWER)
    stale = [one for one in await count_read_back_states(connection) if one.state == "stale"]
    for one in stale:
        since = f", the oldest since {write_time(one.read_since)}" if one.read_since else ""
        to_do = "see BudgetBridgeReadBackStale in the runbook; `budget-bridge drift` lists them"
        yield Check("readings", "warning", f"{one.budgets} budgets were not read for too long{since}", to_do)
    if not stale and not (never and never.budgets):
        yield Check("readings", "ok", "Spectrum was read as often as the rules want it")


def find_patience(rules: Rules) -> timedelta | None:
    """Find how long after an export the first reading may take: the planned wait, and then every request.

    Args:
        rules: those in force.

    Returns:
        The longest time; ``None`` where the bridge asks for nothing by itself.
    """
    wait = timedelta() if rules.after_success else rules.every
    return None if wait is None else wait + MOST_REQUESTS * rules.snapshot_deadline
