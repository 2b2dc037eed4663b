"""Repairs lanes whose inbox was recreated or truncated: they start again at its new beginning."""

from collections.abc import Sequence
from functools import partial

from outbox.recovery import open_recovery
from worker.kafka.group_offsets import GroupOffset, commit_group_offsets
from worker.pipeline.lane_check import ANOTHER_LOG, sign_offset
from worker.pipeline.source_topics import compare_sources, name_intake_group
from worker.recover.lane_publisher import open_lane_publisher
from worker.recover.lane_state import RecoveredLane
from worker.recover.repair import RecoveryInputs, Repair


def plan_recreated_inbox(inputs: RecoveryInputs, lanes: Sequence[RecoveredLane]) -> Repair:
    """Plan to publish what is stored, and then to read the new log from its beginning.

    Args:
        inputs: what every repair is planned from.
        lanes: the lanes whose log is another one.
    """
    way_out = (
        "publish what is stored and not yet published; then read the inbox from where it begins now, and copy every "
        "source topic to it again from its start. What is already known is dropped as a repeat; what the old inbox "
        "held and the source topics no longer hold is lost"
    )
    found = "; ".join(lane.describe() for lane in lanes)
    return Repair(found, way_out, partial(_start_again, inputs, lanes))


async def _start_again(inputs: RecoveryInputs, lanes: Sequence[RecoveredLane]) -> None:
    # The sources first: whatever happens after this, their records will be copied again.
    deployment = inputs.deployment
    sources = await compare_sources(deployment.kafka, deployment.group_id, deployment.topics)
    starts = {place: GroupOffset(start, "") for place, start in sources.starts.items()}
    await commit_group_offsets(deployment.kafka, name_intake_group(deployment.group_id), starts)
    for lane in lanes:
        if lane.position is None:
            continue
        async with open_lane_publisher(inputs, lane.number) as publisher:
            if lane.offset and lane.offset.metadata != sign_offset(inputs.deployment_id, ANOTHER_LOG):
                await publisher.publish_backlog(lane.offset.offset, lane.position.next_offset)
            # Before the position moves: a second run must not mistake the new beginning for the old offset.
            await publisher.publish(lane.start, mark=ANOTHER_LOG)
            async with open_recovery(deployment.database_url) as recovery:
                if lane.start < lane.position.next_offset:
                    await recovery.forget_log(lane.number)
                await recovery.put_position(lane.number, lane.start)
                await recovery.keep()
