"""Checks the signed acceptance that each export carries, as the ERP side does, by the rules that it was granted by.

It shares no code with what decides: of the core it uses the rules, and of the contract what verifies a signature.
"""

import hashlib
import json
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
from contracts.json_text import write_json
from contracts.records import Record
from contracts.signature.verifying import Unverified, verify_event
from handlers.rules import Rules
from worker.reconcile.decided_again import read_all_rules
from worker.reconcile.exports import read_decision
from worker.reconcile.findings import DifferenceKind
from worker.reconcile.reconciliation import Reconciliation
from worker.reconcile.temporary_database import open_temporary_database

_TABLES: Final = """
create table exports (
    company_id integer, project_id integer, budget_id integer, version integer, restatement integer, attempt integer,
    approved_by text, approved_at text, content_hash text, approval text, drift_decision text
);
create table granted (
    company_id integer, project_id integer, budget_id integer, type text, source text, id text, version integer,
    decision text, decided_by text, decided_at text, rules_id integer, at text
);
create index granted_by_budget on granted (company_id, project_id, budget_id);
"""


class SentExport(NamedTuple):
    """What an export in Kafka says of its acceptance."""

    version: int
    restatement: int
    attempt: int
    approved_by: str
    approved_at: str
    content_hash: str
    """Of its lines, computed again; not what it says itself."""
    approval: str | None
    """JSON, as is ``drift_decision``."""
    drift_decision: str | None


class GrantedDecision(NamedTuple):
    """A decision that history has as applied."""

    type: str
    source: str
    id: str
    version: int | None
    decision: str
    decided_by: str
    decided_at: str
    rules_id: int
    """By which it was decided when it arrived, as ``at`` is when that was."""
    at: str


def open_signed_exports() -> AbstractContextManager[sqlite3.Connection]:
    """Open an empty temporary database for exports and what was granted."""
    return open_temporary_database(_TABLES)


def note_signed_export(database: sqlite3.Connection, record: Record) -> None:
    """Note an export that Kafka holds, in the database that ``open_signed_exports`` opened."""
    data = json.loads(record.value or b"")
    sent = read_sent(data)
    row = (data["company_id"], data["project_id"], data["budget_id"], *sent)
    database.execute(f"insert into exports values ({', '.join('?' * len(row))})", row)  # noqa: S608


def read_sent(data: Mapping[str, Any]) -> SentExport:
    """Read from the data of an export what it says of its acceptance, and hash its lines."""
    lines = [
        [
            *(line["phase_code"], line["cost_type"], line["description"]),
            *(_read_cents(line[name]) for name in ("original_estimate_cost", "revision_amount")),
            line["price_method_code"],
            _read_cents(line.get("original_estimate_quantity")),
            line.get("unit_of_measure"),
        ]
        for line in data["lines"]
        if line["change"] != "zero"
    ]
    content = write_json([data["company_code"], data["job_number"], data["currency"], lines])
    events = (data.get(name) for name in ("approval", "drift_decision"))
    return SentExport(
        data["budget_version"],
        data.get("restatement", 0),
        data["attempt"],
        data["approved_by"],
        _normalise(datetime.fromisoformat(data["approved_at"])),
        hashlib.sha256(content).hexdigest(),
        *(event and json.dumps(event) for event in events),
    )


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
        decision = read_decision(granted)
        if decision:
            said = (decision.decision, decision.decided_by, _normalise(decision.decided_at))
            row = (*granted.budget, granted.type, granted.source, granted.id, granted.version, *said)
            database.execute(
                "insert into granted values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*row, granted.rules_id, granted.at.isoformat()),
            )
    query = "select * from exports order by company_id, project_id, budget_id, version, attempt"
    for numbers, rows in groupby(database.execute(query).fetchall(), key=itemgetter(0, 1, 2)):
        budget = BudgetKey(*numbers)
        found = database.execute("select * from granted where (company_id, project_id, budget_id) = (?, ?, ?)", budget)
        decisions = [GrantedDecision(*row[3:]) for row in found]
        for row in rows:
            sent = SentExport(*row[3:])
            claim.checked += sent.approval is not None
            for what in find_unsigned(budget, sent, decisions, rules):
                described = f"version {sent.version}, attempt {sent.attempt}: {what}"
                findings.differ(claim, DifferenceKind.UNEXPLAINED, described, budget)


def find_unsigned(
    budget: BudgetKey, sent: SentExport, granted: Sequence[GrantedDecision], rules: Mapping[int, Rules]
) -> Iterator[str]:
    """Find what of an export no signature proves.

    Args:
        budget: that it is of.
        sent: the export.
        granted: every decision of the budget that was granted.
        rules: every version of the rules, by id.

    Yields:
        What is wrong, as clauses.
    """
    accepted = [one for one in granted if one.type == ApprovalDecision.type and one.decision == "accept"]
    if sent.approval is None:
        said = [one for one in accepted if (one.decided_by, one.decided_at) == (sent.approved_by, sent.approved_at)]
        if said and all(_had_to_be_signed(one, rules) for one in said):
            yield "it carries no acceptance, and that had to be signed"
    else:
        yield from _check_acceptance(budget, sent, accepted, rules)
    restated = [one for one in granted if one.type == DriftDecision.type and one.decision == "restate"]
    if sent.drift_decision is not None:
        proven = _prove(budget, sent.drift_decision, restated, rules)
        if isinstance(proven, str):
            yield f"its drift decision {proven}"
    elif sent.restatement and restated and all(_had_to_be_signed(one, rules) for one in restated):
        yield "it carries no drift decision, and that had to be signed"


def _check_acceptance(
    budget: BudgetKey, sent: SentExport, accepted: Sequence[GrantedDecision], rules: Mapping[int, Rules]
) -> Iterator[str]:
    proven = _prove(budget, sent.approval or "", accepted, rules)
    if isinstance(proven, str):
        yield f"its acceptance {proven}"
        return
    decision = ApprovalDecision.model_validate_json(proven)
    if decision.decision != "accept":
        yield "what it carries is no acceptance"
    if decision.budget_version != sent.version and not (sent.restatement and decision.budget_version < sent.version):
        yield f"its acceptance is of version {decision.budget_version}"
    if decision.decided_by != sent.approved_by:
        yield f"its acceptance is by {decision.decided_by}, and it says {sent.approved_by}"
    if decision.content_hash != sent.content_hash:
        yield "its lines are not what was accepted"


def _prove(
    budget: BudgetKey, written: str, granted: Sequence[GrantedDecision], rules: Mapping[int, Rules]
) -> bytes | str:
    """Verify an event with the rules and at the time by which it was granted; returns its data, or what is wrong."""
    event = json.loads(written)
    named = (event.get("source"), event.get("id"))
    one = next((one for one in granted if (one.source, one.id) == named), None)
    if one is None:
        return "is not among what was granted"
    by = rules[one.rules_id]
    found = verify_event(event, by.signing_keys)
    if isinstance(found, Unverified):
        return f"does not verify: {found.detail}"
    if found.attributes["subject"] != str(budget):
        return f"is of budget {found.attributes['subject']}"
    at, person = datetime.fromisoformat(one.at), json.loads(found.data).get("decided_by")
    fits = (
        row.kid == found.kid
        and "decision" in row.may
        and row.is_for(budget.project)
        and row.vouches_for(person)
        and row.is_valid_at(at)
        for row in by.signers
    )
    return found.data if any(fits) else f"is signed by key {found.kid}, which may not"


def _had_to_be_signed(one: GrantedDecision, rules: Mapping[int, Rules]) -> bool:
    return "decision" in rules[one.rules_id].signatures_required


def _normalise(at: datetime) -> str:
    return str(at.timestamp())


def _read_cents(amount: str | None) -> int | None:
    return None if amount is None else int(amount.replace(".", ""))
