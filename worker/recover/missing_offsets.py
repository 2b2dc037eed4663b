"""The group has no offset for a lane: what Kafka holds of the lane's stored messages shows how far it had published."""

from collections.abc import Sequence
from functools import partial

from contracts.topics import OUTPUTS
from outbox.recovery import open_recovery
from worker.reconcile.topic_comparison import ExpectedRow, TopicComparison, read_topic
from worker.recover.lane_publisher import open_lane_publisher
from worker.recover.lane_state import RecoveredLane
from worker.recover.missing_outputs import describe_pruned, is_explained
from worker.recover.repair import RecoveryInputs, Repair


async def plan_missing_offsets(inputs: RecoveryInputs, lanes: Sequence[RecoveredLane]) -> list[Repair]:
    """Plan which offset to commit for each of these lanes."""
    deployment = inputs.deployment
    async with open_recovery(deployment.database_url) as recovery:
        comparisons = {
            name: await read_topic(deployment.kafka, deployment.topics.full(name), recovery.snapshot)
            for name in OUTPUTS
        }
        pruned = describe_pruned(await recovery.snapshot.read_pruned_before())
    return [_plan_offset(inputs, lane, comparisons, pruned) for lane in lanes]


def _plan_offset(
    inputs: RecoveryInputs, lane: RecoveredLane, comparisons: dict[str, TopicComparison], pruned: str
) -> Repair:
    met, missing = _sort_out(comparisons, lane.number)
    if missing and not met and inputs.choices.treat_as is None:
        way_out = (
            f"Kafka holds none of the {len(missing)} messages that are stored for this lane. If KAFKA_GROUP_ID, "
            f"TOPIC_PREFIX or the cluster is wrong, correct it. Otherwise choose one: `--treat-as published` (they "
            f"were published and have been removed since) or `--treat-as unpublished` (they were never published: "
            f"they will be){pruned}"
        )
        return Repair(lane.describe(), way_out, None)
    if missing and not met and inputs.choices.treat_as == "published":
        missing = []
    published = min((row.place.inbox_offset for row in missing), default=lane.first)
    if any(row.place.inbox_offset >= published for row in met):
        way_out = (
            "Kafka lacks messages that come before others which it holds, so no offset fits: "
            "`budget-bridge reconcile` lists them. `recover` cannot repair this"
        )
        return Repair(lane.describe(), way_out, None)
    way_out = (
        f"{len(met)} of the lane's stored messages are in Kafka, up to record {published - 1} of the inbox, and "
        f"{len(missing)} are not: commit offset {published}, so that the worker continues there"
    )
    return Repair(lane.describe(), way_out, partial(_commit_offset, inputs, lane.number, published))


async def _commit_offset(inputs: RecoveryInputs, number: int, offset: int) -> None:
    async with open_lane_publisher(inputs, number) as publisher:
        await publisher.publish(offset)


def _sort_out(comparisons: dict[str, TopicComparison], number: int) -> tuple[list[ExpectedRow], list[ExpectedRow]]:
    """Sort what a lane has stored: what Kafka holds, or held once, and what it does not."""
    met: list[ExpectedRow] = []
    missing: list[ExpectedRow] = []
    for name, comparison in comparisons.items():
        for digest, row in comparison.rows.items():
            if row.place.inbox_partition == number:
                (met if digest in comparison.met or is_explained(comparison, row, name) else missing).append(row)
    return met, missing
