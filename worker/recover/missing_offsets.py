"""Repairs a lane for which the group has no offset: what Kafka holds shows how far the lane had published."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from contracts.topics import OUTPUTS
from outbox.recovery import open_recovery
from worker.reconcile.topic_comparison import TopicComparison, compare_topic
from worker.recover.lane_publisher import open_lane_publisher
from worker.recover.lane_state import RecoveredLane
from worker.recover.missing_outputs import describe_pruned, is_explained
from worker.recover.repair import RecoveryInputs, Repair


@dataclass(slots=True)
class _Stored:
    """The messages that one lane has stored, by whether Kafka holds them, or may have held them once."""

    met: int = 0
    last_met: int | None = None
    """The greatest inbox offset of those; ``None`` if there are none."""
    missing: int = 0
    first_missing: int | None = None
    """The least inbox offset of those; ``None`` if there are none."""

    def add_met(self, offset: int, count: int = 1) -> None:
        self.met += count
        self.last_met = max(offset, self.last_met if self.last_met is not None else offset)

    def add_missing(self, offset: int) -> None:
        self.missing += 1
        self.first_missing = min(offset, self.first_missing if self.first_missing is not None else offset)


@dataclass(slots=True)
class _AllLanes:
    lanes: dict[int, _Stored] = field(default_factory=lambda: defaultdict(_Stored))

    def add(self, comparison: TopicComparison, name: str) -> None:
        for lane, found in comparison.count_by_lane().items():
            self.lanes[lane].add_met(found.last_met, found.met)
        for row in comparison.list_missing():
            stored, offset = self.lanes[row.place.inbox_partition], row.place.inbox_offset
            if is_explained(row, name):
                stored.add_met(offset)
            else:
                stored.add_missing(offset)


async def plan_missing_offsets(inputs: RecoveryInputs, lanes: Sequence[RecoveredLane]) -> list[Repair]:
    """Plan which offset to commit for each lane; each topic is read once for all of them.

    Args:
        inputs: what every repair is planned from.
        lanes: the lanes without an offset.
    """
    stored = _AllLanes()
    async with open_recovery(inputs.deployment.database_url) as recovery:
        for name in OUTPUTS:
            async with compare_topic(
                inputs.deployment, name, recovery.snapshot, progress=inputs.progress
            ) as comparison:
                stored.add(comparison, name)
        pruned = describe_pruned(await recovery.snapshot.read_pruned_before())
    return [_plan_offset(inputs, lane, stored.lanes[lane.number], pruned) for lane in lanes]


def _plan_offset(inputs: RecoveryInputs, lane: RecoveredLane, stored: _Stored, pruned: str) -> Repair:
    missing, first_missing = stored.missing, stored.first_missing
    if missing and not stored.met and inputs.choices.treat_as is None:
        way_out = (
            f"Kafka holds none of the {missing} messages that are stored for this lane. If KAFKA_GROUP_ID, "
            f"TOPIC_PREFIX or the cluster is wrong, correct it. Otherwise choose one: `--treat-as published` (they "
            f"were published and have been removed since) or `--treat-as unpublished` (they were never published: "
            f"they will be){pruned}"
        )
        return Repair(lane.describe(), way_out, None)
    if missing and not stored.met and inputs.choices.treat_as == "published":
        missing, first_missing = 0, None
    published = lane.first if first_missing is None else first_missing
    if stored.last_met is not None and stored.last_met >= published:
        way_out = (
            "Kafka lacks messages that come before others which it holds, so no offset fits: "
            "`budget-bridge reconcile` lists them. `recover` cannot repair this"
        )
        return Repair(lane.describe(), way_out, None)
    way_out = (
        f"{stored.met} of the lane's stored messages are in Kafka, up to record {published - 1} of the inbox, and "
        f"{missing} are not: commit offset {published}, so that the worker continues there"
    )
    return Repair(lane.describe(), way_out, partial(_commit_offset, inputs, lane.number, published))


async def _commit_offset(inputs: RecoveryInputs, number: int, offset: int) -> None:
    async with open_lane_publisher(inputs, number) as publisher:
        await publisher.publish(offset)
