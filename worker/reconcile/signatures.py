"""Checks the signed acceptance that each export carries, as the ERP side does, by the rules that it was granted by.

It shares no code with what decides: of the core it uses the rules, and what a row of ``signers.csv`` means.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any, Final, NamedTuple

from contracts.budget_key import BudgetKey
from contracts.drift import DriftDecision
from contracts.inbound import ApprovalDecision
from handlers.rules import Rules
from worker.reconcile.decided_again import read_all_rules
from worker.reconcile.exports import read_decision
from worker.reconcile.findings import DifferenceKind
from worker.reconcile.reconciliation import Reconciliation
from worker.reconcile.temporary_database import open_temporary_database
from worker.sent_exports import SentExport
from worker.signed_exports import NotApprovedError, Signers, list_approving_keys

_TABLES: Final = """
create table exports (
    company_id integer, project_id integer, budget_id integer, version integer, export_id text, restatement integer,
    attempt integer, approved_by text, approved_at real, content_hash text, odd_line text, approval text,
    drift_decision text
);
create table granted (
    company_id integer, project_id integer, budget_id integer, type text, source text, id text, version integer,
    decision text, rules_id integer, at text
);
create index granted_by_budget on granted (company_id, project_id, budget_id);
"""


class GrantedDecision(NamedTuple):
    """A decision that history has as applied."""

    type: str
    source: str
    id: str
    version: int | None
    decision: str
    rules_id: int
    """By which it was decided when it arrived, as ``at`` is when that was."""
    at: str


def open_signed_exports() -> AbstractContextManager[sqlite3.Connection]:
    """Open an empty temporary database for exports and what was granted."""
    return open_temporary_database(_TABLES)


def note_signed_export(database: sqlite3.Connection, sent: SentExport) -> None:
    """Note an export that Kafka holds, in the database that ``open_signed_exports`` opened."""
    row = (*sent.budget, *sent[1:])
    database.execute(f"insert into exports values ({', '.join('?' * len(row))})", row)  # noqa: S608


async def check_signatures(reconciliation: Reconciliation, database: sqlite3.Connection) -> None:
    """Find exports under a policy that do not answer to one verified acceptance.

    Args:
        reconciliation: the reconciliation; its findings receive a claim.
        database: all exports that Kafka holds, as ``note_signed_export`` noted them.
    """
    findings = reconciliation.findings
    claim = findings.claim("signatures", "every export under a policy of signatures answers to one verified acceptance")
    rules = await read_all_rules(reconciliation.snapshot)
    async for granted in reconciliation.snapshot.read_granted():
        if decision := read_decision(granted):
            row = (*granted.budget, granted.type, granted.source, granted.id, granted.version, decision.decision)
            database.execute(
                "insert into granted values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*row, granted.rules_id, granted.at.isoformat()),
            )
    query = "select * from exports order by company_id, project_id, budget_id, version, attempt"
    for numbers, rows in groupby(database.execute(query).fetchall(), key=itemgetter(0, 1, 2)):
        budget = BudgetKey(*numbers)
        found = database.execute("select * from granted where (company_id, project_id, budget_id) = (?, ?, ?)", budget)
        decisions = [GrantedDecision(*row[3:]) for row in found]
        for row in rows:
            sent = SentExport(budget, *row[3:])
            claim.checked += sent.approval is not None
            for what in find_unsigned(sent, decisions, rules):
                described = f"version {sent.version}, attempt {sent.attempt}: {what}"
                findings.differ(claim, DifferenceKind.UNEXPLAINED, described, budget)


def find_unsigned(sent: SentExport, granted: Sequence[GrantedDecision], rules: Mapping[int, Rules]) -> Iterator[str]:
    """Find what of an export no signature proves.

    Args:
        sent: the export.
        granted: every decision of its budget that was granted.
        rules: every version of the rules, by id.

    Yields:
        What is wrong, as clauses.
    """
    accepted = [one for one in granted if one.type == ApprovalDecision.type and one.decision == "accept"]
    restated = [one for one in granted if one.type == DriftDecision.type and one.decision == "restate"]

    def find_signers(event: Any, model: type[ApprovalDecision | DriftDecision]) -> Signers | None:
        named = (event.get("source"), event.get("id")) if isinstance(event, dict) else None
        those = accepted if model is ApprovalDecision else restated
        one = next((one for one in those if (one.source, one.id) == named), None)
        return one and Signers(
            rules[one.rules_id].signing_keys, rules[one.rules_id].signers, datetime.fromisoformat(one.at)
        )

    # One that need not be signed may have sent it, the first time or again.
    may_have_sent = [one for one in accepted if sent.restatement or one.version == sent.version]
    if sent.approval is None and _had_to_be_signed(may_have_sent, rules):
        yield "it carries no acceptance, and that had to be signed"
    if sent.restatement and sent.drift_decision is None and _had_to_be_signed(restated, rules):
        yield "it carries no drift decision, and that had to be signed"
    try:
        list_approving_keys(sent, find_signers)
    except NotApprovedError as error:
        yield str(error)


def _had_to_be_signed(decisions: Sequence[GrantedDecision], rules: Mapping[int, Rules]) -> bool:
    """Check whether there are decisions, and each of them had to be signed."""
    return bool(decisions) and all("decision" in rules[one.rules_id].signatures_required for one in decisions)
