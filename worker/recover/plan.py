"""Plans the repairs of a deployment, in order. Planning changes nothing."""

from contracts.topics import TopicNames
from outbox.deployment import InboxNames, read_deployment_id, read_first_start
from outbox.migrate import open_checked_session
from worker.deployment import Deployment, list_other_names
from worker.kafka.connection import KafkaConnection
from worker.kafka.topic_log import open_topic_log
from worker.pipeline.lane_check import Mismatch
from worker.reconcile.progress import Progress, ignore_progress
from worker.recover.changed_budgets import plan_changed_budgets
from worker.recover.foreign_group import explain_foreign_group
from worker.recover.lane_state import RecoveredLane, read_lanes
from worker.recover.missing_offsets import plan_missing_offsets
from worker.recover.missing_outputs import plan_missing_outputs
from worker.recover.older_backup import plan_older_backup
from worker.recover.quiet import check_no_worker_runs, end_transactions
from worker.recover.recreated_inbox import plan_recreated_inbox
from worker.recover.renamed import plan_renamed
from worker.recover.repair import Choices, RecoveryInputs, Repair
from worker.rules_in_force import RulesFolder


async def plan_repairs(
    deployment: Deployment,
    folder: RulesFolder,
    choices: Choices,
    *,
    dry_run: bool = False,
    progress: Progress = ignore_progress,
) -> list[Repair]:
    """Find what needs repair and plan what can be done about it.

    Args:
        deployment: what to repair.
        folder: the rules that are put in force if no version is.
        choices: what only a person can decide.
        dry_run: nothing will be repaired, so workers may keep running.
        progress: called with what is being read, how much of it, and how much there is.

    Raises:
        ConfigurationError: a worker still runs.
        DatabaseDown, KafkaDown: a server does not answer.
        SchemaMismatch: the schema belongs to another version of this program.
    """
    inputs, recorded = await _read_inputs(deployment, folder, choices, progress)
    if recorded and list_other_names(recorded, deployment.names):
        # What else could be found would be about another group or inbox.
        return [await plan_renamed(inputs, recorded)]
    if not dry_run:
        await check_no_worker_runs(deployment)
        await end_transactions(inputs)
    lanes = await read_lanes(inputs)
    repairs: list[Repair] = []
    if (foreign := [lane for lane in lanes if lane.mismatch is Mismatch.FOREIGN]) and not choices.adopt:
        repairs.append(explain_foreign_group(inputs, foreign))
    if changed := [lane for lane in lanes if lane.mismatch is Mismatch.INBOX_CHANGED]:
        repairs.append(plan_recreated_inbox(inputs, changed))
    if unknown := [lane for lane in lanes if _lacks_offset(lane, choices)]:
        repairs.extend(await plan_missing_offsets(inputs, unknown))
    if behind := [lane for lane in lanes if _is_behind(lane, choices)]:
        repairs.append(await plan_older_backup(inputs, behind))
    if not any(lane.refusal for lane in lanes):
        repairs.extend(await plan_changed_budgets(inputs))
        if choices.budget is None:
            repairs.extend(await plan_missing_outputs(inputs, lanes))
    return repairs


async def _read_inputs(
    deployment: Deployment, folder: RulesFolder, choices: Choices, progress: Progress
) -> tuple[RecoveryInputs, InboxNames | None]:
    """Read what repairs are planned from, and the names that the database belongs to."""
    async with open_checked_session(deployment.database_url) as connection:
        names, partitions = await read_first_start(connection)
        if partitions is None:
            partitions = await _count_inbox_partitions(deployment.kafka, deployment.topics)
        deployment_id = await read_deployment_id(connection)
        return RecoveryInputs(deployment, deployment_id, partitions, folder, choices, progress), names


async def _count_inbox_partitions(kafka: KafkaConnection, topics: TopicNames) -> int:
    async with open_topic_log(kafka, topics.inbox) as log:
        return len(log.bounds)


def _lacks_offset(lane: RecoveredLane, choices: Choices) -> bool:
    """Return whether only Kafka's output topics can show how far this lane has published."""
    if lane.mismatch is Mismatch.FOREIGN:
        return choices.adopt and not lane.is_behind_offset
    return lane.mismatch is Mismatch.NO_OFFSET


def _is_behind(lane: RecoveredLane, choices: Choices) -> bool:
    """Return whether the database must decide again up to the group's offset."""
    if lane.mismatch is Mismatch.FOREIGN:
        return choices.adopt and lane.is_behind_offset
    return lane.mismatch is Mismatch.OLDER_BACKUP
