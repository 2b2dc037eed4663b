"""Checks every export against the acceptances, retries and restatements of people, without using the rules."""

import hashlib
import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from contracts.budget_key import BudgetKey
from contracts.cloudevents.message import Message
from contracts.cloudevents.reading import read_message
from contracts.drift import DriftDecision
from contracts.inbound import ApprovalDecision
from contracts.records import Place, Record
from contracts.topics import SOURCES
from outbox.audit import Granted
from worker.reconcile.findings import DifferenceKind
from worker.reconcile.reconciliation import Reconciliation
from worker.reconcile.temporary_database import open_temporary_database
from worker.sent_exports import SentExport

# The content of an export and its approval are only compared, so their digests are enough.
_TABLES = """
create table exports (
    company_id integer, project_id integer, budget_id integer, version integer, export text, attempt integer,
    content blob, approval blob, restatement integer, is_signed integer
);
create table acceptances (
    company_id integer, project_id integer, budget_id integer, version integer, approval blob,
    primary key (company_id, project_id, budget_id, version, approval)
) without rowid;
create table requests (
    company_id integer, project_id integer, budget_id integer, version integer, requests integer,
    primary key (company_id, project_id, budget_id, version)
) without rowid;
create table restatements (
    company_id integer, project_id integer, budget_id integer, requests integer,
    primary key (company_id, project_id, budget_id)
) without rowid;
"""
_VERSION = "where (company_id, project_id, budget_id, version) = (?, ?, ?, ?)"


class _Attempt(NamedTuple):
    export: str
    number: int
    content: bytes
    approval: bytes
    restatement: int
    is_signed: int


def open_exports() -> AbstractContextManager[sqlite3.Connection]:
    """Open an empty temporary database for exports."""
    return open_temporary_database(_TABLES)


def note_export(database: sqlite3.Connection, record: Record, sent: SentExport) -> None:
    """Note an export that Kafka holds, in the database that ``open_exports`` opened; ``sent`` is what it says."""
    # As texts, so that no number is too long.
    data = json.loads(record.value or b"", parse_int=str)
    # The only other things that a further attempt can change; and who accepts, if an acceptance is signed.
    for name in ("attempt", "effective_date", "approved_by", "approved_at", "approval"):
        data.pop(name, None)
    content = _digest(json.dumps(data, sort_keys=True))
    approval = _digest_approval(sent.approved_by, sent.approved_at)
    about = (sent.export_id, sent.attempt, content, approval, sent.restatement, sent.approval is not None)
    row = (*sent.budget, sent.version, *about)
    database.execute("insert into exports values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)


async def check_exports(reconciliation: Reconciliation, database: sqlite3.Connection) -> None:
    """Find exports that nobody accepted, and attempts that nobody asked for.

    Args:
        reconciliation: the reconciliation; its findings receive a claim.
        database: all exports that Kafka holds, as ``note_export`` noted them.
    """
    claim = reconciliation.findings.claim(
        "exports",
        "every export has an acceptance, and every attempt an acceptance, a retry or a restatement",
    )
    async for granted in reconciliation.snapshot.read_granted():
        _note_granted(database, granted)
    query = "select * from exports order by company_id, project_id, budget_id, version"
    for version, rows in groupby(database.execute(query), key=itemgetter(0, 1, 2, 3)):
        claim.checked += 1
        requests = database.execute(f"select requests from requests {_VERSION}", version).fetchone() or (0,)  # noqa: S608
        attempts = [_Attempt(*row[4:]) for row in rows]
        for what in _find_unasked(attempts, _Accepted.read(database, version), requests[0]):
            budget = BudgetKey(*version[:3])
            reconciliation.findings.differ(claim, DifferenceKind.DOUBLED, f"version {version[3]}: {what}", budget)
    _check_restatements(reconciliation, database)


def _check_restatements(reconciliation: Reconciliation, database: sqlite3.Connection) -> None:
    claim = reconciliation.findings.claim("restatements", "every restatement answers to a decision")
    for *budget, restated, requests in database.execute(_RESTATEMENTS):
        claim.checked += restated
        if restated > requests:
            what = f"it was restated {restated} times, but {requests} decisions to restate were granted"
            reconciliation.findings.differ(claim, DifferenceKind.DOUBLED, what, BudgetKey(*budget))


class _Accepted(NamedTuple):
    """The approvals of a version, and of any version of its budget: what is restated is of the base."""

    of_version: set[bytes]
    of_budget: set[bytes]

    @classmethod
    def read(cls, database: sqlite3.Connection, version: tuple[int, ...]) -> "_Accepted":
        """Read what was accepted."""
        query = "select version, approval from acceptances where (company_id, project_id, budget_id) = (?, ?, ?)"
        rows = list(database.execute(query, version[:3]))
        return cls({row[1] for row in rows if row[0] == version[3]}, {row[1] for row in rows})


_RESTATEMENTS = """
select company_id, project_id, budget_id, restated, coalesce(requests, 0)
from (
    select company_id, project_id, budget_id, count(distinct export) as restated
    from exports where restatement > 0
    group by company_id, project_id, budget_id
)
left join restatements using (company_id, project_id, budget_id)
"""


def _note_granted(database: sqlite3.Connection, granted: Granted) -> None:
    version = (*granted.budget, granted.version)
    decision = read_decision(granted)
    if isinstance(decision, DriftDecision):
        if decision.decision == "restate":
            statement = "insert into restatements values (?, ?, ?, 1) on conflict do update set requests = requests + 1"
            database.execute(statement, granted.budget)
        return
    if decision is None or decision.decision == "accept":
        statement = "insert into requests values (?, ?, ?, ?, 1) on conflict do update set requests = requests + 1"
        database.execute(statement, version)
    if decision and decision.decision == "accept":
        approval = _digest_approval(decision.decided_by, decision.decided_at.timestamp())
        database.execute("insert or ignore into acceptances values (?, ?, ?, ?, ?)", (*version, approval))


def _find_unasked(attempts: list[_Attempt], accepted: _Accepted, requests: int) -> Iterator[str]:
    """Find what nobody asked for; a version has several exports where a reset came between them."""
    exports = {attempt.export for attempt in attempts}
    approvals = {(attempt.export, attempt.approval) for attempt in attempts}
    restated = {attempt.export for attempt in attempts if attempt.restatement}
    times = Counter((attempt.export, attempt.number) for attempt in attempts)
    if len({(attempt.export, attempt.content) for attempt in attempts}) > len(exports):
        yield "its attempts have different content"
    is_accepted = all(
        approval in (accepted.of_budget if export in restated else accepted.of_version)
        for export, approval in approvals
    )
    unsigned = {(attempt.export, attempt.approval) for attempt in attempts if not attempt.is_signed}
    if len(unsigned) > len({export for export, _ in unsigned}) or not is_accepted:
        yield "nobody accepted the version that was exported"
    if repeated := min((number for (_, number), count in times.items() if count > 1), default=None):
        yield f"attempt {repeated} is in Kafka more than once"
    # The first attempt of a restatement has a decision of its own, which names no version.
    highest = sum(max(one.number for one in attempts if one.export == export) for export in exports) - len(restated)
    if highest > requests:
        yield f"it has {highest} attempts, but {requests} acceptances and retries were granted"


def read_decision(granted: Granted) -> ApprovalDecision | DriftDecision | None:
    """Read what was granted; ``None`` for a retry."""
    topic = next(name for name, models in SOURCES.items() if any(model.type == granted.type for model in models))
    message = read_message(topic, Record(Place(topic, 0, 0), 0, None, granted.body, granted.headers))
    body = message.body if isinstance(message, Message) else None
    return body if isinstance(body, ApprovalDecision | DriftDecision) else None


def _digest_approval(by: str, at: float) -> bytes:
    return _digest(f"{at} {by}")


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest()
