"""Reports how far each lane is behind, and which lanes refuse to publish and why."""

from typing import NamedTuple

from outbox.database import Connection
from outbox.deployment import read_deployment_id
from outbox.position import read_positions
from worker.kafka.admin import count_partitions
from worker.kafka.connection import KafkaConnection
from worker.kafka.group_offsets import read_group_offsets
from worker.kafka.topic_log import open_topic_log
from worker.pipeline.lane_check import LaneRefused, LaneState, check_lane, check_last_record


class LaneReport(NamedTuple):
    """One lane: how many records it has not decided yet, and how many it has decided and not published yet."""

    lane: int
    undecided: int
    unpublished: int | None
    """Records of the inbox whose effects are stored, but not all in Kafka; ``None`` if the lane refuses, since
    its offset then does not show what is published."""
    refuses: str | None
    """Why it refuses to publish; ``None`` for a lane that publishes."""


async def read_lanes(kafka: KafkaConnection, group_id: str, inbox: str, database: Connection) -> list[LaneReport]:
    """Compare the group's offsets, the positions in the database and the inbox, as a lane does when it starts.

    Args:
        kafka: how to reach Kafka.
        group_id: the group of the lanes.
        inbox: the full name of the inbox.
        database: a session on a database with our schema.

    Returns:
        A report of each lane, by number.

    Raises:
        DatabaseDown: Postgres does not answer.
        KafkaDown: Kafka does not answer.
    """
    deployment_id = await read_deployment_id(database)
    partitions = (await count_partitions(kafka, [inbox])).get(inbox, 0)
    # Offsets, then positions, then the log: a running lane is then always ahead of what was read before.
    offsets = await read_group_offsets(kafka, group_id, [(inbox, number) for number in range(partitions)])
    positions = await read_positions(database)
    reports = []
    async with open_topic_log(kafka, inbox) as log:
        for number, (start, end) in sorted(log.bounds.items()):
            offset, position = offsets.get((inbox, number)), positions.get(number)
            at, metadata = (offset.offset, offset.metadata) if offset else (None, "")
            next_offset = position.next_offset if position else start
            undecided, unpublished, refuses = max(end - next_offset, 0), max(next_offset - (at or start), 0), None
            try:
                check_lane(LaneState(deployment_id, at, metadata, start, end, position))
                if position and position.last and start <= position.last.offset:
                    check_last_record(position, await log.get(number, position.last.offset))
            except LaneRefused as refused:
                refuses = refused.found
            reports.append(LaneReport(number, undecided, None if refuses else unpublished, refuses))
    return reports
