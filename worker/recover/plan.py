"""Plans the repairs of a deployment, in order. Planning changes nothing."""

from contracts.topics import TopicNames
from outbox.deployment import read_deployment_id, read_inbox_partitions
from outbox.migrate import open_checked_session
from worker.deployment import Deployment
from worker.kafka.admin import describe_group
from worker.kafka.connection import KafkaConnection
from worker.kafka.topic_log import open_topic_log
from worker.pipeline.lane_check import Mismatch
from worker.pipeline.source_topics import name_intake_group
from worker.reconcile.progress import Progress, ignore_progress
from worker.recover.changed_budgets import plan_changed_budgets
from worker.recover.foreign_group import explain_foreign_group
from worker.recover.lane_publisher import open_lane_publisher
from worker.recover.lane_state import RecoveredLane, read_lanes
from worker.recover.missing_offsets import plan_missing_offsets
from worker.recover.missing_outputs import plan_missing_outputs
from worker.recover.older_backup import plan_older_backup
from worker.recover.recreated_inbox import plan_recreated_inbox
from worker.recover.repair import Choices, RecoveryInputs, Repair
from worker.rules_in_force import RulesFolder
from worker.settings import ConfigurationError


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
    inputs = await _read_inputs(deployment, folder, choices, progress)
    if not dry_run:
        await check_no_worker_runs(deployment)
        await _end_transactions(inputs)
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


async def _end_transactions(inputs: RecoveryInputs) -> None:
    """End transactions that were left open, so that none of them can still commit after the topics were read."""
    for number in range(inputs.partitions):
        async with open_lane_publisher(inputs, number):
            pass


async def check_no_worker_runs(deployment: Deployment) -> None:
    """Check that the groups of the workers have no members.

    Raises:
        ConfigurationError: one has.
    """
    for group in (deployment.group_id, name_intake_group(deployment.group_id)):
        if members := (await describe_group(deployment.kafka, group)).members:
            problem = (
                f"consumer group {group} has {members} members: stop every worker first (one that was killed leaves "
                f"its group after 10 s)"
            )
            raise ConfigurationError((problem,))


async def _read_inputs(
    deployment: Deployment, folder: RulesFolder, choices: Choices, progress: Progress
) -> RecoveryInputs:
    async with open_checked_session(deployment.database_url) as connection:
        partitions = await read_inbox_partitions(connection)
        if partitions is None:
            partitions = await _count_inbox_partitions(deployment.kafka, deployment.topics)
        return RecoveryInputs(deployment, await read_deployment_id(connection), partitions, folder, choices, progress)


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
