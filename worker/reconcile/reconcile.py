"""Proves, or disproves, that everything was carried exactly once: the logs, the database and the rules side by side.

It trusts nothing that the lanes do and shares no code with them but the reading of bytes. It only reads, and the
worker may run meanwhile: what is newer than the moment it looks at is told as on its way.
"""

from outbox.audit import open_snapshot
from outbox.refold import refold
from outbox.rules_codec import decode_rules
from worker.deployment import Deployment, read_lane_offsets
from worker.kafka.topic_log import open_topic_log
from worker.reconcile.findings import DifferenceKind, Findings
from worker.reconcile.inputs import check_inputs
from worker.reconcile.outputs import check_outputs
from worker.reconcile.reconciliation import Reconciliation


async def reconcile(deployment: Deployment) -> Findings:
    """Compare everything with everything; raises ``KafkaDown`` or ``DatabaseDown``."""
    # First of all: what these say is done must be found in what is read after them.
    published = {number: offset.offset for number, offset in (await read_lane_offsets(deployment)).items()}
    async with open_snapshot(deployment.database_url) as snapshot:
        reconciliation = Reconciliation(Findings(), deployment, snapshot, await snapshot.read_positions(), published)
        await _check_lanes(reconciliation)
        await check_inputs(reconciliation)
        await check_outputs(reconciliation)
        await _check_fold(reconciliation)
    return reconciliation.findings


async def _check_lanes(reconciliation: Reconciliation) -> None:
    findings = reconciliation.findings
    claim = findings.claim("lanes", "in every lane, offset ≤ position ≤ end of the inbox")
    async with open_topic_log(reconciliation.deployment.kafka, reconciliation.deployment.topics.inbox) as inbox:
        ends = {number: end for number, (_, end) in inbox.bounds.items()}
    for number, position in reconciliation.positions.items():
        claim.checked += 1
        offset, end = reconciliation.published.get(number), ends.get(number, 0)
        if offset is None:
            findings.differ(
                claim, DifferenceKind.LOST, f"lane {number} is at {position}, but the group has no offset for it"
            )
        elif offset > position:
            findings.differ(
                claim, DifferenceKind.ALTERED, f"lane {number} is at {position}, the group beyond, at {offset}"
            )
        if position > end:
            findings.differ(claim, DifferenceKind.LOST, f"lane {number} is at {position}, but the inbox ends at {end}")


async def _check_fold(reconciliation: Reconciliation) -> None:
    """Decide everything once more."""
    findings, snapshot = reconciliation.findings, reconciliation.snapshot
    claim = findings.claim("fold", "deciding history again gives the stored states, verdicts and messages")
    rules = {number: decode_rules(content) for number, content in (await snapshot.read_rules()).items()}
    pruned_before = await snapshot.read_pruned_before()
    for number, offset, topic in await snapshot.find_causeless():
        what = f"the outbox has a row for {topic} at record {offset} of inbox partition {number}, which history lacks"
        findings.differ(claim, DifferenceKind.UNEXPLAINED, what)
    for company_id, project_id in await snapshot.read_projects():
        project = await snapshot.read_project(company_id, project_id)
        young = [kept for kept in project.messages if pruned_before is None or kept.at >= pruned_before]
        if old := len(project.messages) - len(young):
            if company_id:
                # What is left of it comes from messages that cannot be read any more.
                claim.notes["projects of which something is pruned, so that they cannot be decided again"] += 1
                continue
            # Each of those that could not be read stands for itself.
            claim.notes["unreadable records that are pruned"] += old
            project = project._replace(messages=young)
        claim.checked += len(project.messages)
        for deviation in refold(project, rules, reconciliation.deployment.topics):
            findings.differ(claim, DifferenceKind.ALTERED, deviation.what, deviation.budget)
