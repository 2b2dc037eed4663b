"""Checks that everything in the outbox is in Kafka once and in order, and nothing else."""

from dataclasses import dataclass
from typing import Final

from contracts.records import Record
from contracts.topics import COMPACTED, OUTPUTS
from outbox.audit import open_snapshot
from worker.reconcile.exports import check_exports, note_export, open_exports
from worker.reconcile.findings import Claim, DifferenceKind
from worker.reconcile.reconciliation import Reconciliation, describe_place, read_budget
from worker.reconcile.signatures import check_signatures, note_signed_export, open_signed_exports
from worker.reconcile.statuses import StatusTopic, check_statuses, open_status_topic
from worker.reconcile.topic_comparison import MissingRow, TopicComparison, compare_topic
from worker.sent_exports import read_export

STATUS: Final = "bridge.status"
EXPORTS: Final = "spectrum.exports"


@dataclass(frozen=True, slots=True)
class _Claims:
    once: Claim
    known: Claim
    order: Claim


async def check_outputs(reconciliation: Reconciliation) -> None:
    """Compare every output topic with the outbox; each topic is read once."""
    claim = reconciliation.findings.claim
    claims = _Claims(
        claim("published", "every outbox row below the published offset is in Kafka once, byte for byte"),
        claim("known", "nothing is in Kafka that the outbox does not know"),
        claim("order", "each budget's messages are in order"),
    )
    with open_status_topic() as statuses, open_exports() as exports, open_signed_exports() as signed:

        def note(record: Record) -> None:
            try:
                sent = read_export(record.value)
            except ValueError:
                what = f"{describe_place(record.place)} is no export that can be read"
                reconciliation.findings.differ(claims.known, DifferenceKind.UNEXPLAINED, what, read_budget(record.key))
                return
            note_export(exports, record, sent)
            note_signed_export(signed, sent)

        for name in OUTPUTS:
            take = {STATUS: statuses.note, EXPORTS: note}.get(name)
            async with compare_topic(
                reconciliation.deployment, name, reconciliation.snapshot, take, reconciliation.progress
            ) as comparison:
                await _explain_newer(reconciliation, comparison)
                _report(reconciliation, claims, comparison)
                for row in comparison.list_missing():
                    _judge_missing(reconciliation, claims.once, row, name, statuses)
        await check_statuses(reconciliation, statuses)
        await check_exports(reconciliation, exports)
        await check_signatures(reconciliation, signed)


async def _explain_newer(reconciliation: Reconciliation, comparison: TopicComparison) -> None:
    """Remove what the lanes have sent since the snapshot was taken."""
    if not comparison.count_unknown():
        return
    async with open_snapshot(reconciliation.deployment.database_url) as later:
        for number in await later.read_positions():
            start = reconciliation.positions.get(number, 0)
            async for row in later.read_rows_since(comparison.topic, number, start):
                comparison.explain(row)
        await comparison.explain_pruned(later)


def _report(reconciliation: Reconciliation, claims: _Claims, comparison: TopicComparison) -> None:
    met, pruned = comparison.count_met(), comparison.count_pruned()
    claims.once.checked += met
    claims.order.checked += met
    claims.known.checked += met + comparison.count_unknown()
    if pruned:
        claims.known.notes["messages whose outbox rows are pruned"] += pruned
    differ = reconciliation.findings.differ
    for record in comparison.list_doubled():
        what = f"{describe_place(record.place)} repeats an earlier one"
        differ(claims.once, DifferenceKind.DOUBLED, what, record.budget)
    for record in comparison.list_reordered():
        what = f"{describe_place(record.place)} comes after a later message of its budget"
        differ(claims.order, DifferenceKind.REORDERED, what, record.budget)
    for unknown in comparison.list_unknown():
        what = f"{describe_place(unknown.place)} (id {unknown.id or 'none'}) is not in the outbox with these bytes"
        differ(claims.known, DifferenceKind.UNEXPLAINED, what, read_budget(unknown.key))


def _judge_missing(
    reconciliation: Reconciliation, claim: Claim, row: MissingRow, name: str, statuses: StatusTopic
) -> None:
    """Distinguish what was lost from what is on its way, and from what age or compaction may have removed."""
    number, offset, _ = row.place
    if offset >= reconciliation.published.get(number, 0):
        claim.waiting += 1
        if row.budget:
            statuses.expect_newer(row.budget)
    elif name in COMPACTED and row.is_outdated:
        claim.notes[f"messages that compaction may have removed from {name}: a later one of the budget is there"] += 1
    elif row.is_gone:
        claim.notes[f"messages older than what {name} still holds"] += 1
    else:
        what = f"what record {offset} of inbox partition {number} caused is not in {name}"
        reconciliation.findings.differ(claim, DifferenceKind.LOST, what, row.budget)
