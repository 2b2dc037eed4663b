"""The doctor's look at Kafka: brokers, topics and their settings, groups, and how far lanes and intake are."""

import time
from collections.abc import Mapping
from typing import Final

from contracts.topics import SOURCES, TopicNames, list_topics
from outbox.database import Connection as Database
from outbox.deployment import read_deployment_id
from outbox.recovery import read_inbox_partitions, read_positions
from worker.doctor.checks import Check, Checks, keep_going
from worker.doctor.topics import examine_topic
from worker.kafka.admin import TopicState, describe_group, describe_topics, list_brokers, list_missing_requests
from worker.kafka.connection import KafkaConnection, connect_kafka
from worker.kafka.errors import KafkaDown
from worker.kafka.group_offsets import read_group_offsets
from worker.kafka.topic_log import open_topic_log
from worker.pipeline.lane_check import LaneRefused, LaneState, check_lane, check_last_record
from worker.pipeline.source_topics import check_sources, name_intake_group
from worker.settings import KafkaSettings

_NEVER: Final = 2**63 - 1


async def examine_kafka(settings: KafkaSettings, database: Database | None) -> Checks:
    """Look at all that needs Kafka; raises ``KafkaDown`` where it goes no further."""
    kafka, names = connect_kafka(settings), settings.topics
    servers = kafka.bootstrap_servers.split(",")
    for server in servers:
        yield await _try_server(kafka, server)
    brokers = await list_brokers(kafka)
    yield Check("kafka", "ok", f"{len(brokers)} broker{'s' if len(brokers) > 1 else ''} in the cluster")
    for broker in set(brokers) - set(servers):
        # A client is sent there: it must be reached under the name that the broker gives itself.
        if (check := await _try_server(kafka, broker)).state != "ok":
            yield check._replace(to_do="start that broker, or mend its advertised.listeners")
    topics = await describe_topics(kafka, [names.full(topic.name) for topic in list_topics()])
    async for check in _examine_topics(topics, names, len(brokers)):
        yield check
    groups = settings.kafka_group_id, name_intake_group(settings.kafka_group_id)
    parts = [("group", _examine_group(kafka, group)) for group in groups]
    if database and (inbox := topics.get(names.inbox)):
        parts.append(("lanes", _examine_lanes(kafka, settings, database, inbox)))
    if sources := {name: topic for name in SOURCES if (topic := topics.get(names.full(name)))}:
        parts.append(("sources", _examine_sources(kafka, settings, sources)))
    for about, checks in parts:
        async for check in keep_going(about, checks):
            yield check


async def _try_server(kafka: KafkaConnection, server: str) -> Check:
    try:
        missing = await list_missing_requests(kafka, server)
    except KafkaDown as down:
        to_do = "start it, or mend KAFKA_BOOTSTRAP and the security settings"
        return Check("kafka", "wrong", f"{server} does not answer: {down}", to_do)
    if missing:
        says = f"{server} does not take {', '.join(missing)}"
        return Check("kafka", "wrong", says, "use Apache Kafka 2.5 or later, or a broker with transactions")
    return Check("kafka", "ok", f"{server} answers, and takes groups and transactions")


async def _examine_topics(topics: Mapping[str, TopicState | None], names: TopicNames, brokers: int) -> Checks:
    is_well = True
    for setup in list_topics():
        name = names.full(setup.name)
        if name not in topics:
            yield Check("topics", "wrong", f"{name} is missing", "run `budget-bridge topics`")
            is_well = False
        elif (topic := topics[name]) is None:
            to_do = "give this user the ACLs that docs/operations.md lists"
            yield Check("permissions", "wrong", f"{name} may not be described", to_do)
            is_well = False
        else:
            for check in examine_topic(name, topic, setup, brokers):
                yield check
                is_well = False
    if is_well:
        yield Check("topics", "ok", f"all {len(topics)} are there, and set up as they must be")


async def _examine_group(kafka: KafkaConnection, group: str) -> Checks:
    state = await describe_group(kafka, group)
    if state.members == 0:
        yield Check("group", "look", f"{group}: nobody is in it", "start a worker: `budget-bridge run`")
    elif state.state != "Stable":
        yield Check("group", "look", f"{group} is {state.state}", "look again in half a minute: it is moving lanes")
    else:
        yield Check("group", "ok", f"{group} is stable, with {state.members} in it")


async def _examine_lanes(
    kafka: KafkaConnection, settings: KafkaSettings, database: Database, topic: TopicState
) -> Checks:
    inbox = settings.topics.inbox
    fixed = await read_inbox_partitions(database)
    if fixed not in {None, topic.partitions}:
        says = f"{inbox} has {topic.partitions} partitions, but was made with {fixed}"
        yield Check("lanes", "wrong", says, f"make a new inbox with {fixed} partitions: see the runbook, scaling out")
    deployment_id = await read_deployment_id(database)
    # In this order: while lanes are at work, each is ahead of what was read before it.
    places = [(inbox, number) for number in range(topic.partitions)]
    offsets = await read_group_offsets(kafka, settings.kafka_group_id, places)
    positions = await read_positions(database)
    async with open_topic_log(kafka, inbox) as log:
        behind, is_well = 0, True
        for number, (start, end) in log.bounds.items():
            offset, position = offsets.get((inbox, number)), positions.get(number)
            at, metadata = (offset.offset, offset.metadata) if offset else (None, "")
            behind += end - (at if at is not None else start)
            try:
                check_lane(LaneState(deployment_id, at, metadata, start, end, position))
                if position and position.last and start <= position.last.offset:
                    check_last_record(position, await log.get(number, position.last.offset))
            except LaneRefused as unsafe:
                is_well = False
                to_do = "`budget-bridge recover --dry-run` shows the way out"
                yield Check("lanes", "wrong", f"lane {number}: {unsafe.found}", to_do)
    if is_well:
        says = f"offsets, positions and the inbox fit; about {behind} records are on their way"
        yield Check("lanes", "ok", f"{len(log.bounds)} lanes: {says}")


async def _examine_sources(kafka: KafkaConnection, settings: KafkaSettings, topics: Mapping[str, TopicState]) -> Checks:
    """Look at the source topics, by name without prefix."""
    seen = await check_sources(kafka, settings.kafka_group_id, settings.topics)
    for (topic, number), (first, after) in seen.removed.items():
        says = f"{topic}/{number}: records {first} to {after - 1} were removed before they were read"
        yield Check("sources", "wrong", says, "have them sent again, and raise the topic's retention")
    for topic, number in seen.recreated:
        says = f"{topic}/{number} was made anew since it was read"
        yield Check("sources", "look", says, "nothing: a worker reads it from its start when it is given it")
    is_well = not seen.removed and not seen.recreated
    for name, state in topics.items():
        async for check in _examine_age(kafka, settings.kafka_group_id, settings.topics.full(name), state):
            is_well = False
            yield check
    if is_well:
        yield Check("sources", "ok", "nothing was removed before it was read, nor is about to be")


async def _examine_age(kafka: KafkaConnection, group_id: str, topic: str, state: TopicState) -> Checks:
    """Tell of records that wait to be read and have come half way to being removed by age."""
    kept_ms = int(state.settings.get("retention.ms", "-1"))
    kept_ms = _NEVER if kept_ms < 0 else kept_ms
    async with open_topic_log(kafka, topic) as log:
        places = [(topic, number) for number in log.bounds]
        offsets = await read_group_offsets(kafka, name_intake_group(group_id), places)
        for number, (start, end) in log.bounds.items():
            offset = offsets.get((topic, number))
            record = await log.get(number, offset.offset if offset else start)
            if record is None or end == start:
                continue
            age_ms = int(time.time() * 1000) - record.timestamp_ms  # noqa: TID251 - an age, nothing is decided by it
            if age_ms > kept_ms / 2:
                waited, kept = (ms // 3_600_000 for ms in (age_ms, kept_ms))
                says = f"{topic}/{number}: a record has waited {waited} h, and is removed after {kept} h"
                yield Check("sources", "wrong", says, "start a worker, or raise the topic's retention.ms now")
