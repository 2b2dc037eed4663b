"""Verifies that everything was carried exactly once, by comparing topics, database and rules with each other.

It trusts nothing that the lanes do, and shares no code with them except for decoding bytes. It only reads, and workers
may keep running: whatever is newer than its snapshot is counted as on its way.
"""

from outbox.audit import open_snapshot
from worker.deployment import Deployment, read_lane_offsets
from worker.kafka.topic_log import open_topic_log
from worker.reconcile.budget_states import check_budget_states
from worker.reconcile.decided_again import check_decided_again
from worker.reconcile.findings import DifferenceKind, Findings
from worker.reconcile.inputs import check_inputs
from worker.reconcile.outputs import check_outputs
from worker.reconcile.progress import Progress, ignore_progress
from worker.reconcile.readings import check_readings
from worker.reconcile.reconciliation import Reconciliation


async def reconcile(
    deployment: Deployment, findings: Findings | None = None, progress: Progress = ignore_progress
) -> Findings:
    """Compare everything with everything.

    Args:
        deployment: what to compare.
        findings: where to record what differs; its ``accepted`` differences are not counted.
        progress: called with what is being read, how much of it, and how much there is.

    Raises:
        KafkaDown, DatabaseDown: a server does not answer.
    """
    # Read first: whatever is below these offsets must be found in everything that is read later.
    published = {number: offset.offset for number, offset in (await read_lane_offsets(deployment)).items()}
    findings = findings or Findings()
    async with open_snapshot(deployment.database_url) as snapshot:
        positions = await snapshot.read_positions()
        reconciliation = Reconciliation(findings, deployment, snapshot, positions, published, progress)
        await _check_lanes(reconciliation)
        await check_inputs(reconciliation)
        await check_outputs(reconciliation)
        await check_budget_states(reconciliation)
        await check_readings(reconciliation)
        await check_decided_again(reconciliation)
    return findings


async def _check_lanes(reconciliation: Reconciliation) -> None:
    findings, deployment = reconciliation.findings, reconciliation.deployment
    claim = findings.claim("lanes", "in every lane, offset <= position <= end of the inbox")
    async with open_topic_log(deployment.kafka, deployment.topics.inbox) as inbox:
        ends = {number: end for number, (_, end) in inbox.bounds.items()}
    for number, position in reconciliation.positions.items():
        claim.checked += 1
        offset, end = reconciliation.published.get(number), ends.get(number, 0)
        if offset is None:
            what = f"lane {number} is at {position}, but the group has no offset for it"
            findings.differ(claim, DifferenceKind.LOST, what)
        elif offset > position:
            what = f"lane {number} is at {position}, but the group is beyond that, at {offset}"
            findings.differ(claim, DifferenceKind.ALTERED, what)
        if position > end:
            findings.differ(claim, DifferenceKind.LOST, f"lane {number} is at {position}, but the inbox ends at {end}")
