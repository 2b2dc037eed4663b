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
    company_id integer, project_id integer, budget_id integer, version integer, export text, attempt integer,
    content blob, approval blob
);
create table acceptances (
    company_id integer, project_id integer, budget_id integer, version integer, approval blob,
    primary key (company_id, project_id, budget_id, version, approval)
) without rowid;
create table requests (
    company_id integer, project_id integer, budget_id integer, version integer, requests integer,
    primary key (company_id, project_id, budget_id, version)
) without rowid;
"""
_VERSION = "where (company_id, project_id, budget_id, version) = (?, ?, ?, ?)"


class _Attempt(NamedTuple):
    export: str
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
    # The only other thing that a further attempt can change.
    data.pop("effective_date", None)
    content = _digest(json.dumps(data, sort_keys=True))
    approval = _digest_approval(data["approved_by"], datetime.fromisoformat(data["approved_at"]))
    row = (*version, data["export_id"], attempt, content, approval)
    database.execute("insert into exports values (?, ?, ?, ?, ?, ?, ?, ?)", row)


async def check_exports(reconciliation: Reconciliation, database: sqlite3.Connection) -> None:
    """Find exports that nobody accepted, and attempts that nobody asked for.

    Args:
        reconciliation: the reconciliation; its findings receive a claim.
        database: all exports that Kafka holds, as ``note_export`` noted them.
    """
    claim = reconciliation.findings.claim(
        "exports", "every export has an acceptance, and every attempt an acceptance or a retry of its own"
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
        requests = database.execute(f"select requests from requests {_VERSION}", version).fetchone() or (0,)  # noqa: S608
        attempts = [_Attempt(*row[4:]) for row in rows]
        for what in _find_unasked(attempts, accepted, requests[0]):
            budget = BudgetKey(*version[:3])
            reconciliation.findings.differ(claim, DifferenceKind.DOUBLED, f"version {version[3]}: {what}", budget)


def _note_granted(database: sqlite3.Connection, granted: Granted) -> None:
    version = (*granted.budget, granted.version)
    decision = _read_decision(granted)
    if decision is None or decision.decision == "accept":
        statement = "insert into requests values (?, ?, ?, ?, 1) on conflict do update set requests = requests + 1"
        database.execute(statement, version)
    if decision and decision.decision == "accept":
        approval = _digest_approval(decision.decided_by, decision.decided_at)
        database.execute("insert or ignore into acceptances values (?, ?, ?, ?, ?)", (*version, approval))


def _find_unasked(attempts: list[_Attempt], accepted: set[bytes], requests: int) -> Iterator[str]:
    """Find what nobody asked for; a version has several exports where a reset came between them."""
    exports = {attempt.export for attempt in attempts}
    approvals = {(attempt.export, attempt.approval) for attempt in attempts}
    times = Counter((attempt.export, attempt.number) for attempt in attempts)
    if len({(attempt.export, attempt.content) for attempt in attempts}) > len(exports):
        yield "its attempts have different content"
    if len(approvals) > len(exports) or not {approval for _, approval in approvals} <= accepted:
        yield "nobody accepted the version that was exported"
    if repeated := min((number for (_, number), count in times.items() if count > 1), default=None):
        yield f"attempt {repeated} is in Kafka more than once"
    highest = sum(max(one.number for one in attempts if one.export == export) for export in exports)
    if highest > requests:
        yield f"it has {highest} attempts, but {requests} acceptances and retries were granted"


def _read_decision(granted: Granted) -> ApprovalDecision | None:
    topic = next(name for name, models in SOURCES.items() if any(model.type == granted.type for model in models))
    message = read_message(topic, Record(Place(topic, 0, 0), 0, None, granted.body, granted.headers))
    return message.body if isinstance(message, Message) and isinstance(message.body, ApprovalDecision) else None


def _digest_approval(by: str, at: datetime) -> bytes:
    return _digest(f"{at.timestamp()} {by}")


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest()
