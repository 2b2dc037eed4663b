"""Checks, before a worker starts, that topics, schema, rules, inbox and consumer group fit one another."""

import sys
from collections.abc import Mapping
from typing import Final
from uuid import UUID

from contracts.topics import SOURCES, TopicNames, list_topics
from outbox.database import Connection
from outbox.deployment import FirstStart, InboxNames, read_deployment_id, read_first_start, record_first_start
from outbox.migrate import open_checked_session
from worker.deployment import list_other_names
from worker.doctor.topics import find_size_shortfall
from worker.kafka.admin import TopicState, count_partitions, describe_topics
from worker.kafka.connection import KafkaConnection, connect_kafka
from worker.kafka.group_offsets import read_group_offsets
from worker.pipeline.lane import LaneContext
from worker.pipeline.lane_store import LaneConnections
from worker.resilience.breaker import Breakers
from worker.rules_in_force import RulesFolder, apply_first_rules, check_first_rules, is_in_force
from worker.settings import ConfigurationError, WorkerSettings
from worker.telemetry.logs import Logger
from worker.telemetry.tracing import Traces

FIRST_START_BY: Final = "budget-bridge run"
_IN_FORCE: Final = (
    "the version in force is used; `budget-bridge rules diff` shows the difference, `budget-bridge rules apply` puts "
    "RULES_DIR in force"
)


async def prepare(
    settings: WorkerSettings, folder: RulesFolder, breakers: Breakers, traces: Traces, log: Logger
) -> LaneContext:
    """Check that topics, schema, rules, inbox and group fit one another, and gather what the lanes share.

    Nothing is written before everything is checked.

    Raises:
        ConfigurationError: something does not fit; each problem says what, and what to do.
        SchemaMismatch: the database was not migrated to this version.
        KafkaDown: Kafka does not answer.
        DatabaseDown: Postgres does not answer.
    """
    kafka = connect_kafka(settings)
    database_url = settings.database_url.get_secret_value()
    topics = settings.topics
    partitions = await _check_topics(kafka, topics)
    async with open_checked_session(database_url) as connection:
        names = InboxNames(settings.kafka_group_id, topics.inbox)
        _check_first_start(await read_first_start(connection), names, partitions)
        deployment_id = await read_deployment_id(connection)
        await _check_group(kafka, names, partitions, deployment_id)
        await check_first_rules(connection, folder)
        # Nothing was written so far. Another worker may have been the first meanwhile, with other settings.
        _check_first_start(await record_first_start(connection, names, partitions), names, partitions)
        sys.audit("budget-bridge.worker.inbox-partitions-fixed")
        await _settle_rules(connection, folder, log)
        sys.audit("budget-bridge.worker.rules-kept")
        return LaneContext(
            ports=LaneConnections(kafka, database_url, settings.kafka_group_id, topics),
            kafka=kafka,
            database_url=database_url,
            deployment_id=deployment_id,
            group_id=settings.kafka_group_id,
            topics=topics,
            inbox_partitions=partitions,
            breakers=breakers,
            traces=traces,
        )


async def _check_topics(kafka: KafkaConnection, topics: TopicNames) -> int:
    """Check that every topic exists and accepts our largest message; returns the number of inbox partitions."""
    needed = [*topics.sources, topics.inbox, *topics.outputs]
    there = await count_partitions(kafka, needed)
    if missing := [name for name in needed if name not in there]:
        problem = f"topics are missing ({', '.join(missing)}): run `budget-bridge topics`"
        raise ConfigurationError((problem,))
    if too_small := list_too_small(await describe_topics(kafka, needed), topics):
        raise ConfigurationError(too_small)
    return there[topics.inbox]


def _check_first_start(recorded: FirstStart, names: InboxNames, partitions: int) -> None:
    """Check that group, inbox and number of partitions are those that the first start recorded, if there was one."""
    if problems := list_other_names(recorded.names, names):
        raise ConfigurationError(problems)
    if recorded.partitions not in {None, partitions}:
        problem = (
            f"{names.inbox} has {partitions} partitions, but was created with {recorded.partitions}, and every project "
            f"belongs to one of them for good: create a new inbox with {recorded.partitions} partitions, or start with "
            f"a new database and a new KAFKA_GROUP_ID"
        )
        raise ConfigurationError((problem,))


def list_too_small(described: Mapping[str, TopicState | None], topics: TopicNames) -> tuple[str, ...]:
    """List the topics that do not accept our largest messages: one that is refused would stop its lane.

    Args:
        described: the topics by full name; ``None`` for one that may not be described.
        topics: how the topics of this deployment are named.

    Returns:
        A problem for each.
    """
    problems = []
    for setup in list_topics():
        topic = described.get(topics.full(setup.name))
        if topic and setup.name not in SOURCES and (small := find_size_shortfall(topic, setup)):
            problems.append(
                f"{topics.full(setup.name)} takes messages of {small[0]} bytes, and they can have {small[1]}: set its "
                f"max.message.bytes to {small[1]}, as `budget-bridge topics` does for topics that it creates"
            )
    return tuple(problems)


async def _settle_rules(connection: Connection, folder: RulesFolder, log: Logger) -> None:
    """Put the folder's rules in force if no version is; otherwise log whether the folder differs from it."""
    application, is_new = await apply_first_rules(connection, folder, FIRST_START_BY)
    if is_new:
        log.info("rules.applied", rules=str(application), by=FIRST_START_BY, why=application.why)
        return
    if folder.problems:
        why = f"RULES_DIR cannot be read: {'; '.join(folder.problems)}"
    elif folder.rules and not await is_in_force(connection, folder.rules):
        why = "RULES_DIR differs from the version in force"
    else:
        return
    log.warning("rules.folder_ignored", why=why, rules=str(application), next=_IN_FORCE)


async def _check_group(kafka: KafkaConnection, names: InboxNames, partitions: int, deployment_id: UUID) -> None:
    """Refuse to share a group with another database: each would publish what it believes the other has not."""
    lanes = [(names.inbox, number) for number in range(partitions)]
    offsets = await read_group_offsets(kafka, names.group_id, lanes)
    others = {offset.metadata for offset in offsets.values() if not offset.metadata.startswith(str(deployment_id))}
    if others:
        problem = (
            f"consumer group {names.group_id} is carried by another database ({min(others) or 'unnamed'}), not by this "
            f"one ({deployment_id}): choose a KAFKA_GROUP_ID of its own for this deployment; or, if this database is "
            f"to replace the other one, see `budget-bridge recover --dry-run`"
        )
        raise ConfigurationError((problem,))
