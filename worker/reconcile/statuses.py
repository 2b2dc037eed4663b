"""Compares the latest status of each budget on ``bridge.status`` with its state in the database, in both directions."""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from contracts.budget_key import BudgetKey
from contracts.records import Record
from handlers.decision import describe_status
from worker.reconcile.findings import DifferenceKind
from worker.reconcile.reconciliation import Reconciliation, read_budget
from worker.reconcile.temporary_database import open_temporary_database

_TABLES = """
create table latest (key blob primary key, value blob) without rowid;
create table newer (key blob primary key) without rowid;
"""


class StatusTopic:
    """The latest status of each budget in Kafka, in a temporary database."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def note(self, record: Record) -> None:
        """Note a status; a later one of the same budget replaces it."""
        self._database.execute("insert or replace into latest values (?, ?)", (record.key or b"", record.value or b""))

    def expect_newer(self, budget: BudgetKey) -> None:
        """Note that something of a budget is still to be published."""
        self._database.execute("insert or ignore into newer values (?)", (str(budget).encode(),))

    def is_newer_expected(self, budget: BudgetKey) -> bool:
        """Return whether something of a budget is still to be published."""
        query = "select 1 from newer where key = ?"
        return self._database.execute(query, (str(budget).encode(),)).fetchone() is not None

    def take(self, budget: BudgetKey) -> dict[str, Any] | None:
        """Remove and return the latest status of a budget."""
        key = (str(budget).encode(),)
        found = self._database.execute("select value from latest where key = ?", key).fetchone()
        self._database.execute("delete from latest where key = ?", key)
        return json.loads(found[0]) if found else None

    def list_left(self) -> Iterator[tuple[bytes, dict[str, Any]]]:
        """List the statuses that were not removed."""
        for key, value in self._database.execute("select key, value from latest"):
            yield key, json.loads(value)


@contextmanager
def open_status_topic() -> Iterator[StatusTopic]:
    """Open an empty temporary database for statuses."""
    with open_temporary_database(_TABLES) as database:
        yield StatusTopic(database)


async def check_statuses(reconciliation: Reconciliation, statuses: StatusTopic) -> None:
    """Compare the statuses with the budgets, in both directions.

    Args:
        reconciliation: the reconciliation; its findings receive a claim.
        statuses: the latest statuses in Kafka; they are removed as they are compared.
    """
    claim = reconciliation.findings.claim("status", "the latest status of each budget is its state in the database")
    differ = reconciliation.findings.differ
    async for stored in reconciliation.snapshot.read_budgets():
        found = statuses.take(stored.key)
        if stored.budget is None:
            # A state that cannot be read is reported as a separate difference.
            continue
        shown = describe_status(stored.budget)
        if statuses.is_newer_expected(stored.key):
            claim.waiting += 1
            continue
        if shown is None and found is None:
            continue
        claim.checked += 1
        expected = json.loads(shown.model_dump_json()) if shown else None
        if found != expected:
            differ(claim, DifferenceKind.ALTERED, _describe(expected, found), stored.key)
    for key, found in statuses.list_left():
        claim.checked += 1
        latest = f"{found['status']}, sequence {found['sequence']}"
        what = f"its latest status in Kafka is {latest}, but it has no row in budgets"
        differ(claim, DifferenceKind.LOST, what, read_budget(key))


def _describe(stored: Mapping[str, Any] | None, found: Mapping[str, Any] | None) -> str:
    """Describe field by field how a budget's state differs from its latest status."""
    if found is None:
        now = f"{stored['status']}, sequence {stored['sequence']}" if stored else "no status"
        return f"it is {now} in the database, but its latest status in Kafka is missing"
    if stored is None:
        return f"it has no status in the database, but in Kafka {found['status']}, sequence {found['sequence']}"
    fields = [
        f"{name} is {json.dumps(stored.get(name))} in the database, but {json.dumps(found.get(name))}"
        for name in {**stored, **found}
        if stored.get(name) != found.get(name)
    ]
    return f"{'; '.join(fields)} in its latest status in Kafka"
