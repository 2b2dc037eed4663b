"""Checks every export against the acceptances and retries of people, without using the rules."""

import hashlib
import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from contracts.budget_key import BudgetKey
from contracts.cloudevents.message import Message
from contracts.cloudevents.reading import read_message
from contracts.inbound import ApprovalDecision
from contracts.records import Place, Record
from contracts.topics import SOURCES
from outbox.audit import Granted
from worker.reconcile.findings import DifferenceKind
from worker.reconcile.reconciliation import Reconciliation
from worker.reconcile.temporary_database import open_temporary_database

# The content of an export and its approval are only compared, so their digests are enough.
_TABLES = """
create table exports (
    company_id integer, project_id integer, budget_id integer, version integer, attempt integer, content blob,
    approval blob
);
create table acceptances (
    company_id integer, project_id integer, budget_id integer, version integer, approval blob,
    primary key (company_id, project_id, budget_id, version, approval)
) without rowid;
create table retries (
    company_id integer, project_id integer, budget_id integer, version integer, retries integer,
    primary key (company_id, project_id, budget_id, version)
) without rowid;
"""
_VERSION = "where (company_id, project_id, budget_id, version) = (?, ?, ?, ?)"


class _Attempt(NamedTuple):
    number: int
    content: bytes
    approval: bytes


def open_exports() -> AbstractContextManager[sqlite3.Connection]:
    """Open an empty temporary database for exports."""
    return open_temporary_database(_TABLES)


def note_export(database: sqlite3.Connection, record: Record) -> None:
    """Note an export that Kafka holds, in the database that ``open_exports`` opened."""
    data = json.loads(record.value or b"")
    version = (data["company_id"], data["project_id"], data["budget_id"], data["budget_version"])
    attempt = data.pop("attempt")
    content = _digest(json.dumps(data, sort_keys=True))
    approval = _digest_approval(data["approved_by"], datetime.fromisoformat(data["approved_at"]))
    database.execute("insert into exports values (?, ?, ?, ?, ?, ?, ?)", (*version, attempt, content, approval))


async def check_exports(reconciliation: Reconciliation, database: sqlite3.Connection) -> None:
    """Find exports that nobody accepted, and attempts that nobody asked for.

    Args:
        reconciliation: the reconciliation; its findings receive a claim.
        database: all exports that Kafka holds, as ``note_export`` noted them.
    """
    claim = reconciliation.findings.claim(
        "exports", "every export has one acceptance, and every further attempt one retry"
    )
    async for granted in reconciliation.snapshot.read_granted():
        _note_granted(database, granted)
    query = "select * from exports order by company_id, project_id, budget_id, version"
    for version, rows in groupby(database.execute(query), key=itemgetter(0, 1, 2, 3)):
        claim.checked += 1
        accepted = {
            row[0]
            for row in database.execute(f"select approval from acceptances {_VERSION}", version)  # noqa: S608
        }
        retries = database.execute(f"select retries from retries {_VERSION}", version).fetchone() or (0,)  # noqa: S608
        attempts = [_Attempt(*row[4:]) for row in rows]
        for what in _find_unasked(attempts, accepted, retries[0]):
            budget = BudgetKey(*version[:3])
            reconciliation.findings.differ(claim, DifferenceKind.DOUBLED, f"version {version[3]}: {what}", budget)


def _note_granted(database: sqlite3.Connection, granted: Granted) -> None:
    version = (*granted.budget, granted.version)
    decision = _read_decision(granted)
    if decision is None:
        statement = "insert into retries values (?, ?, ?, ?, 1) on conflict do update set retries = retries + 1"
        database.execute(statement, version)
    elif decision.decision == "accept":
        approval = _digest_approval(decision.decided_by, decision.decided_at)
        database.execute("insert or ignore into acceptances values (?, ?, ?, ?, ?)", (*version, approval))


def _find_unasked(attempts: list[_Attempt], accepted: set[bytes], retries: int) -> Iterator[str]:
    approvals = {attempt.approval for attempt in attempts}
    times = Counter(attempt.number for attempt in attempts)
    if len({attempt.content for attempt in attempts}) > 1:
        yield "its attempts have different content"
    if len(approvals) != 1 or not approvals <= accepted:
        yield "nobody accepted the version that was exported"
    if repeated := min((number for number, count in times.items() if count > 1), default=None):
        yield f"attempt {repeated} is in Kafka {times[repeated]} times"
    if max(times) - 1 > retries:
        yield f"it has {max(times)} attempts, but {retries} retries were granted"


def _read_decision(granted: Granted) -> ApprovalDecision | None:
    topic = next(name for name, models in SOURCES.items() if any(model.type == granted.type for model in models))
    message = read_message(topic, Record(Place(topic, 0, 0), 0, None, granted.body, granted.headers))
    return message.body if isinstance(message, Message) and isinstance(message.body, ApprovalDecision) else None


def _digest_approval(by: str, at: datetime) -> bytes:
    return _digest(f"{at.timestamp()} {by}")


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest()
