"""Check of the lanes: whether the group's offsets, the positions in the database and the inbox match."""

from outbox.database import Connection
from outbox.deployment import read_deployment_id
from outbox.recovery import read_inbox_partitions, read_positions
from worker.doctor.check import Check, Checks
from worker.kafka.admin import TopicState
from worker.kafka.connection import KafkaConnection
from worker.kafka.group_offsets import read_group_offsets
from worker.kafka.topic_log import open_topic_log
from worker.pipeline.lane_check import LaneRefused, LaneState, check_lane, check_last_record
from worker.settings import KafkaSettings


async def check_lanes(
    kafka: KafkaConnection, settings: KafkaSettings, database: Connection, topic: TopicState
) -> Checks:
    """Check every lane; raises ``KafkaDown`` or ``DatabaseDown``.

    Args:
        kafka: how to reach Kafka.
        settings: the group and the name of the inbox.
        database: a session on a database with our schema.
        topic: the inbox as it is.

    Yields:
        The results.
    """
    inbox = settings.topics.inbox
    recorded = await read_inbox_partitions(database)
    if recorded not in {None, topic.partitions}:
        found = f"{inbox} has {topic.partitions} partitions, but was created with {recorded}"
        to_do = f"create the inbox again with {recorded} partitions: see scaling out in the runbook"
        yield Check("lanes", "error", found, to_do)
    deployment_id = await read_deployment_id(database)
    # In this order: a lane at work is then always ahead of what was read before it.
    partitions = [(inbox, number) for number in range(topic.partitions)]
    offsets = await read_group_offsets(kafka, settings.kafka_group_id, partitions)
    positions = await read_positions(database)
    async with open_topic_log(kafka, inbox) as log:
        behind, all_ok = 0, True
        for number, (start, end) in log.bounds.items():
            offset, position = offsets.get((inbox, number)), positions.get(number)
            at, metadata = (offset.offset, offset.metadata) if offset else (None, "")
            behind += end - (at if at is not None else start)
            try:
                check_lane(LaneState(deployment_id, at, metadata, start, end, position))
                if position and position.last and start <= position.last.offset:
                    check_last_record(position, await log.get(number, position.last.offset))
            except LaneRefused as refused:
                all_ok = False
                to_do = "run `budget-bridge recover --dry-run`: it shows the repair"
                yield Check("lanes", "error", f"lane {number} refuses: {refused.found}", to_do)
    if all_ok:
        found = f"offsets, positions and the inbox match; about {behind} records are not published yet"
        yield Check("lanes", "ok", f"{len(log.bounds)} lanes: {found}")
