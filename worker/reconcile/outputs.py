"""Checks that everything in the outbox is in Kafka once, nothing else is, and each export was asked for by a person."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Final

from contracts.budget_key import BudgetKey
from contracts.cloudevents.message import Message
from contracts.cloudevents.reading import read_message
from contracts.inbound import ApprovalDecision
from contracts.records import Place, Record
from contracts.topics import OUTPUTS, SOURCES
from handlers.decision import describe_status
from outbox.audit import Granted, open_snapshot
from worker.reconcile.findings import Claim, DifferenceKind
from worker.reconcile.reconciliation import Reconciliation, describe_place
from worker.reconcile.topic_comparison import ExpectedRow, TopicComparison, read_topic

_STATUS: Final = "bridge.status"
_EXPORTS: Final = "spectrum.exports"


@dataclass(slots=True)
class _Exported:
    """What Kafka holds of one version's export."""

    attempts: Counter[int] = field(default_factory=Counter)
    contents: set[str] = field(default_factory=set)
    approved: set[tuple[str, datetime]] = field(default_factory=set)


@dataclass(slots=True)
class _Outputs:
    """What is learnt on the way through the output topics."""

    exported: dict[tuple[BudgetKey, int], _Exported] = field(default_factory=lambda: defaultdict(_Exported))
    statuses: dict[bytes, dict[str, Any]] = field(default_factory=dict)
    """The latest of each key."""
    ahead: set[BudgetKey] = field(default_factory=set)
    """Budgets of which something is still to be published."""


async def check_outputs(reconciliation: Reconciliation) -> None:
    """Read every output topic once, beside the outbox."""
    claim = reconciliation.findings.claim
    once = claim("published", "every outbox row below the published offset is in Kafka once, byte for byte")
    known = claim("known", "nothing is in Kafka that the outbox does not know")
    order = claim("order", "each budget's messages are in order")
    outputs = _Outputs()
    for name in OUTPUTS:
        topic = reconciliation.deployment.topics.full(name)
        comparison = await read_topic(
            reconciliation.deployment.kafka, topic, reconciliation.snapshot, partial(_note_record, outputs, name)
        )
        await _explain_newer(reconciliation, comparison, topic)
        once.checked += len(comparison.met)
        order.checked += len(comparison.met)
        known.checked += len(comparison.met) + len(comparison.unknown)
        if comparison.pruned:
            known.notes["messages so old that what the outbox had of them is pruned"] += len(comparison.pruned)
        for budget, place in comparison.doubled:
            reconciliation.findings.differ(
                once, DifferenceKind.DOUBLED, f"{describe_place(place)} is there a second time", budget
            )
        for entry, place in comparison.reordered:
            what = f"{describe_place(place)} comes after what it must come before"
            reconciliation.findings.differ(order, DifferenceKind.REORDERED, what, entry.budget)
        for unknown in comparison.unknown:
            what = f"{describe_place(unknown.place)} (id {unknown.id or 'none'}) is not in the outbox with these bytes"
            reconciliation.findings.differ(known, DifferenceKind.UNEXPLAINED, what)
        for entry in comparison.list_missing():
            _judge_missing(reconciliation, once, entry, comparison, name, outputs)
    await _check_statuses(reconciliation, outputs)
    await _check_exports(reconciliation, outputs)


def _note_record(outputs: _Outputs, name: str, record: Record) -> None:
    if name not in {_STATUS, _EXPORTS}:
        return
    data = json.loads(record.value or b"")
    if name == _STATUS:
        outputs.statuses[record.key or b""] = data
        return
    key = BudgetKey(data["company_id"], data["project_id"], data["budget_id"])
    found = outputs.exported[key, data["budget_version"]]
    found.attempts[data.pop("attempt")] += 1
    found.contents.add(json.dumps(data, sort_keys=True))
    found.approved.add((data["approved_by"], datetime.fromisoformat(data["approved_at"])))


async def _explain_newer(reconciliation: Reconciliation, comparison: TopicComparison, topic: str) -> None:
    """Strike out what the lanes have sent since the moment that is looked at."""
    if not comparison.unknown:
        return
    async with open_snapshot(reconciliation.deployment.database_url) as later:
        for number in await later.read_positions():
            comparison.meet_again(await later.read_rows_since(topic, number, reconciliation.positions.get(number, 0)))
        await comparison.explain_pruned(later)


def _judge_missing(
    reconciliation: Reconciliation,
    claim: Claim,
    entry: ExpectedRow,
    comparison: TopicComparison,
    name: str,
    outputs: _Outputs,
) -> None:
    """Tell what was lost from what is on its way, or went the way of all records."""
    number, offset, _ = entry.place
    if offset >= reconciliation.published.get(number, 0):
        claim.waiting += 1
        if entry.budget:
            outputs.ahead.add(entry.budget)
    elif name == _STATUS and comparison.is_outdated(entry):
        claim.notes["statuses that compaction may have removed: a later one of the budget is there"] += 1
    elif comparison.is_gone(entry):
        claim.notes[f"messages older than what {name} still holds"] += 1
    else:
        what = f"what record {offset} of inbox partition {number} caused is not in {name}"
        reconciliation.findings.differ(claim, DifferenceKind.LOST, what, entry.budget)


async def _check_statuses(reconciliation: Reconciliation, outputs: _Outputs) -> None:
    claim = reconciliation.findings.claim("status", "the latest status of each budget is its state in the database")
    async for budget in reconciliation.snapshot.read_budgets():
        shown = describe_status(budget)
        if shown is None:
            continue
        if budget.key in outputs.ahead:
            claim.waiting += 1
            continue
        claim.checked += 1
        found = outputs.statuses.get(str(budget.key).encode())
        if found != json.loads(shown.model_dump_json()):
            said = f"{found['status']}, sequence {found['sequence']}" if found else "missing"
            what = f"it is {shown.status}, sequence {shown.sequence}, but its latest status in Kafka is {said}"
            reconciliation.findings.differ(claim, DifferenceKind.ALTERED, what, budget.key)


async def _check_exports(reconciliation: Reconciliation, outputs: _Outputs) -> None:
    """Hold every export against what people asked for, without asking the rules."""
    claim = reconciliation.findings.claim(
        "exports", "every export answers to one acceptance, each further attempt to one retry"
    )
    accepted: dict[tuple[BudgetKey, int], set[tuple[str, datetime]]] = defaultdict(set)
    retries: Counter[tuple[BudgetKey, int]] = Counter()
    async for granted in reconciliation.snapshot.read_granted():
        decision = _read_decision(granted)
        if decision is None:
            retries[granted.budget, granted.version] += 1
        elif decision.decision == "accept":
            accepted[granted.budget, granted.version].add((decision.decided_by, decision.decided_at))
    for (budget, version), found in outputs.exported.items():
        claim.checked += 1
        for what in _find_unasked(found, accepted[budget, version], retries[budget, version]):
            reconciliation.findings.differ(claim, DifferenceKind.DOUBLED, f"version {version}: {what}", budget)


def _find_unasked(found: _Exported, accepted: set[tuple[str, datetime]], retries: int) -> Iterator[str]:
    if len(found.contents) > 1:
        yield "its attempts do not say the same"
    if len(found.approved) != 1 or not found.approved <= accepted:
        yield "nobody's acceptance stands behind its export"
    if more := sorted(attempt for attempt, times in found.attempts.items() if times > 1):
        yield f"attempt {more[0]} is there {found.attempts[more[0]]} times"
    if max(found.attempts) - 1 > retries:
        yield f"it has {max(found.attempts)} attempts, but {retries} retries were granted"


def _read_decision(granted: Granted) -> ApprovalDecision | None:
    topic = next(name for name, models in SOURCES.items() if any(model.type == granted.type for model in models))
    message = read_message(topic, Record(Place(topic, 0, 0), 0, None, granted.body, granted.headers))
    return message.body if isinstance(message, Message) and isinstance(message.body, ApprovalDecision) else None
