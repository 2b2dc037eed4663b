"""Repairs a database that is older than what was published: the messages that it has lost are decided again.

Nothing is published. Budgets for which deciding again produces other messages than Kafka holds are put on hold, for a
person to compare.
"""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Final

from contracts.budget_key import BudgetKey, write_project_key
from contracts.fields import write_time
from contracts.inbox import open_arrival
from contracts.topics import OUTPUTS
from outbox.audit import Snapshot
from outbox.recovery import Recovery, open_recovery
from worker.kafka.topic_log import choose_partition, open_topic_log
from worker.reconcile.reconciliation import read_budget
from worker.reconcile.topic_comparison import compare_topic
from worker.recover.lane_publisher import open_lane_publisher
from worker.recover.lane_state import RecoveredLane
from worker.recover.missing_outputs import is_explained
from worker.recover.repair import RecoveryInputs, Repair
from worker.rules_in_force import Applied, settle_rules

_SHOWN: Final = 20
_BY: Final = "budget-bridge recover"


async def plan_older_backup(inputs: RecoveryInputs, lanes: Sequence[RecoveredLane]) -> Repair:
    """Plan to decide again what these lanes have lost, after trying it in a transaction that is rolled back."""
    found = "; ".join(lane.describe() for lane in lanes)
    for lane in lanes:
        if lane.offset is None or not lane.start <= lane.first <= lane.offset.offset <= lane.end:
            way_out = (
                f"the inbox holds records {lane.start} to {lane.end - 1} of lane {lane.number}, not all from "
                f"{lane.first} on, so what is missing cannot be decided again. Restore a newer backup"
            )
            return Repair(found, way_out, None)
    async with open_recovery(inputs.deployment.database_url) as recovery:
        applied = await settle_rules(recovery.connection, inputs.folder, _BY)
        decided, differing = await _decide_again(inputs, recovery, lanes)
    way_out = (
        f"decide again the {decided} messages that the database has lost, {_describe_rules(applied)}, without "
        f"publishing anything; {_describe_holds(differing)}"
    )
    return Repair(found, way_out, partial(_act, inputs, lanes))


async def _act(inputs: RecoveryInputs, lanes: Sequence[RecoveredLane]) -> None:
    async with AsyncExitStack() as stack:
        publishers = {
            lane.number: await stack.enter_async_context(open_lane_publisher(inputs, lane.number)) for lane in lanes
        }
        async with open_recovery(inputs.deployment.database_url) as recovery:
            await settle_rules(recovery.connection, inputs.folder, _BY)
            await _decide_again(inputs, recovery, lanes)
            await recovery.keep()
        for lane in lanes:
            if lane.offset:
                await publishers[lane.number].publish(lane.offset.offset)


async def _decide_again(
    inputs: RecoveryInputs, recovery: Recovery, lanes: Sequence[RecoveredLane]
) -> tuple[int, dict[BudgetKey, str]]:
    """Decide again what arrived after the backup, and put the budgets on hold whose result differs.

    Returns:
        How many messages were decided, and those budgets, each with the reason.
    """
    deployment = inputs.deployment
    decided, spans = 0, {}
    for lane in lanes:
        after = lane.offset.offset if lane.offset else lane.first
        spans[lane.number] = range(lane.first, after)
    for lane in lanes:
        after = spans[lane.number].stop
        position = await recovery.put_position(lane.number, lane.first)
        async with open_topic_log(deployment.kafka, deployment.topics.inbox) as log:
            async for records in log.read({lane.number: lane.first}):
                arrivals = [
                    open_arrival(record, deployment.topics) for record in records if record.place.offset < after
                ]
                if arrivals:
                    position = await recovery.store_again(position, arrivals, deployment.topics)
                    decided += len(arrivals)
                    total = sum(len(span) for span in spans.values())
                    inputs.progress("deciding messages again", decided, total)
    differing = await _compare(inputs, recovery.snapshot, spans)
    partitions = {key: choose_partition(write_project_key(*key.project), inputs.partitions) for key in differing}
    await recovery.hold(differing, partitions)
    return decided, differing


async def _compare(inputs: RecoveryInputs, snapshot: Snapshot, spans: Mapping[int, range]) -> dict[BudgetKey, str]:
    """Compare what was decided again with what Kafka holds, by id and bytes."""
    differing: dict[BudgetKey, str] = {}
    for name in OUTPUTS:
        async with compare_topic(inputs.deployment, name, snapshot, progress=inputs.progress) as comparison:
            for unknown in comparison.list_unknown():
                if key := read_budget(unknown.key):
                    reason = f"recovery: {name} holds message {unknown.id}, which the history does not produce"
                    differing.setdefault(key, reason)
            for row in comparison.list_missing():
                number, offset, _ = row.place
                if row.budget and offset in spans.get(number, ()) and not is_explained(row, name):
                    reason = f"recovery: the history produces a message that {name} does not hold"
                    differing.setdefault(row.budget, reason)
    return differing


def _describe_rules(applied: Applied) -> str:
    application = applied.application
    if applied.is_new:
        return "by the rules in RULES_DIR, which are put in force, as no version is"
    return f"by version {application} of the rules, in force since {write_time(application.at)}"


def _describe_holds(differing: Mapping[BudgetKey, str]) -> str:
    if not differing:
        return "all of it agrees with what Kafka holds, so no budget is held"
    shown = "; ".join(f"{key} ({reason})" for key, reason in sorted(differing.items())[:_SHOWN])
    more = f" and {len(differing) - _SHOWN} more" if len(differing) > _SHOWN else ""
    return f"{len(differing)} budgets do not agree with what Kafka holds and are put on hold: {shown}{more}"
