"""Checks of the rules about signatures: whether decisions are signed, who cannot sign, and which keys end soon."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from contracts.fields import write_time
from handlers.rules import Rules
from outbox.database import Connection
from outbox.rules import RulesUnavailable, find_application, read_version
from worker.doctor.check import Check, Checks

ENDS_SOON: Final = timedelta(days=14)
"""Long enough to make another key, have it listed, and let both sign for a while."""


async def check_signatures_in_force(connection: Connection) -> Checks:
    """Check the rules in force; raises ``DatabaseDown``."""
    application = await find_application(connection)
    try:
        rules = await read_version(connection, application.rules_id) if application else None
    except RulesUnavailable:
        # A newer version of this program decides.
        return
    if rules:
        now = datetime.now(UTC)  # noqa: TID251 - compared with the ends of keys, which are days away
        for check in check_signatures(rules, now):
            yield check


def check_signatures(rules: Rules, now: datetime) -> Iterator[Check]:
    """Check what rules say about signatures.

    Args:
        rules: those that decide.
        now: when the check is made.
    """
    if not rules.signatures_required:
        found = "nothing has to be signed: whoever may write to procore.approvals can accept in an approver's name"
        yield Check("signatures", "warning", found, "see docs/signatures.md, and signatures.require in docs/rules.md")
        return
    all_ok = True
    if "decision" in rules.signatures_required and (unable := _find_unable(rules, now)):
        all_ok = False
        found = f"decisions must be signed, and {len(unable)} approvers have no key that may sign for them now, such as"
        yield Check("signatures", "error", f"{found} {unable[0]}", "list a key for each of them in signers.csv")
    for kid, end in _find_ends(rules):
        if now <= end < now + ENDS_SOON:
            all_ok = False
            to_do = "list another key beside it, and have it used: docs/signatures.md#keys"
            yield Check("signatures", "warning", f"key {kid} may not sign any more from {write_time(end)} on", to_do)
    if all_ok:
        words = ", ".join(sorted(rules.signatures_required))
        yield Check("signatures", "ok", f"{words} must be signed, and whoever approves has a key")


def _find_unable(rules: Rules, now: datetime) -> list[str]:
    """Find the approvers who cannot sign, each with the first project in which that is so."""
    rows = [row for row in rules.signers if "decision" in row.may and row.is_valid_at(now)]
    unable = []
    for (company, approved), users in sorted(rules.approvers.items(), key=lambda item: (item[0][0], item[0][1] or 0)):
        theirs = [approved] if approved else [project for owner, project in sorted(rules.jobs) if owner == company]
        for user in sorted(users):
            signed = [row for row in rows if row.vouches_for(user)]
            lacking = [one for one in theirs if not any(row.is_for((company, one)) for row in signed)]
            unable += [f"{user} in project {company}/{project}" for project in lacking[:1]]
    return unable


def _find_ends(rules: Rules) -> list[tuple[str, datetime]]:
    """Find the keys that end, each with its last end; one with a row without an end does not."""
    ends: dict[str, list[datetime | None]] = {}
    for row in rules.signers:
        ends.setdefault(row.kid, []).append(row.valid_until)
    return [(kid, max(filter(None, times))) for kid, times in sorted(ends.items()) if None not in times]
