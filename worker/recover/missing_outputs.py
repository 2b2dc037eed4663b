"""An output topic has lost messages that were published to it: they can be published again."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Final

from contracts.fields import write_time
from contracts.topics import OUTPUTS
from outbox.audit import RowPlace
from outbox.recovery import open_recovery
from worker.reconcile.topic_comparison import ExpectedRow, TopicComparison, read_topic
from worker.recover.lane_publisher import open_lane_publisher
from worker.recover.lane_state import RecoveredLane
from worker.recover.repair import RecoveryInputs, Repair

_STATUS: Final = "bridge.status"


async def plan_missing_outputs(inputs: RecoveryInputs, lanes: Sequence[RecoveredLane]) -> list[Repair]:
    """Plan, topic by topic, to publish again what it lacks."""
    published = {lane.number: lane.offset.offset for lane in lanes if lane.offset}
    deployment = inputs.deployment
    repairs = []
    async with open_recovery(deployment.database_url) as recovery:
        # What was decided again and came out otherwise is not what was lost.
        held = await recovery.read_held()
        pruned = describe_pruned(await recovery.snapshot.read_pruned_before())
        for name in OUTPUTS:
            comparison = await read_topic(deployment.kafka, deployment.topics.full(name), recovery.snapshot)
            missing = [
                row
                for row in comparison.list_missing()
                if row.budget not in held
                and row.place.inbox_offset < published.get(row.place.inbox_partition, 0)
                and not comparison.is_outdated(row)
                and not comparison.is_gone(row)
            ]
            if missing:
                budgets = len({row.budget for row in missing})
                found = f"{name} lacks {len(missing)} messages of {budgets} budgets that were published to it"
                way_out = (
                    "`budget-bridge recover --publish-again` publishes them again, with the same ids and bytes, each "
                    "budget's in order and none after a later one. Readers that saw them before must drop repeats by "
                    f"id; if no reader needs them, leave it{pruned}"
                )
                act = partial(_publish_again, inputs, name, [row.place for row in missing], published)
                repairs.append(Repair(found, way_out, act if inputs.choices.publish_again else None))
    return repairs


async def _publish_again(
    inputs: RecoveryInputs, name: str, places: Sequence[RowPlace], published: Mapping[int, int]
) -> None:
    wanted: dict[int, set[RowPlace]] = defaultdict(set)
    for place in places:
        wanted[place.inbox_partition].add(place)
    for number, of_lane in wanted.items():
        async with open_recovery(inputs.deployment.database_url) as recovery:
            rows = [row async for row in recovery.snapshot.read_rows(inputs.deployment.topics.full(name))]
        records = [row.record for row in sorted(rows, key=lambda row: row.place) if row.place in of_lane]
        async with open_lane_publisher(inputs, number) as publisher:
            await publisher.publish(published[number], records)


def is_explained(comparison: TopicComparison, row: ExpectedRow, name: str) -> bool:
    """Return whether age or compaction may have removed a row's message from its topic."""
    return comparison.is_gone(row) or (name == _STATUS and comparison.is_outdated(row))


def describe_pruned(before: datetime | None) -> str:
    """Describe what pruning has made impossible, as the end of a sentence; empty where nothing was pruned."""
    return f". What was pruned, of messages before {write_time(before)}, cannot be published again" if before else ""
