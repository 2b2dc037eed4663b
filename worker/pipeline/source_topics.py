"""Checks that no source topic was recreated or shortened, by what the intake's offsets remember about its records.

A topic that was recreated has other records at the same offsets, and continuing at the old offset would skip all
records before it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from contracts.records import Record, digest_record
from contracts.topics import TopicNames
from worker.kafka.admin import count_partitions
from worker.kafka.connection import KafkaConnection
from worker.kafka.group_offsets import GroupOffset, Partition, read_group_offsets
from worker.kafka.topic_log import TopicLog, open_topic_log


@dataclass(frozen=True, slots=True)
class SourcesSeen:
    """The source partitions that were recreated or shortened."""

    recreated: Mapping[Partition, int]
    """Recreated since they were read, each with its first offset."""
    starts: Mapping[Partition, int]
    """The first offset of every source partition."""
    removed: Mapping[Partition, tuple[int, int]]
    """Records that were removed before they were read: the first offset, and the one after the last."""


def name_intake_group(group_id: str) -> str:
    """Name the group under which the source topics are read."""
    return f"{group_id}.intake"


def sign_copied(record: Record) -> str:
    """Write what an offset of the intake remembers about the record before it."""
    return f"{record.timestamp_ms} {digest_record(record).hex()}"


async def compare_sources(kafka: KafkaConnection, group_id: str, topics: TopicNames) -> SourcesSeen:
    """Compare every source partition with what the offsets of the intake's group remember about it.

    Args:
        kafka: how Kafka is reached.
        group_id: the group of the lanes; the intake's is named after it.
        topics: how the topics of this deployment are named.

    Raises:
        KafkaDown: Kafka does not answer.
    """
    recreated: dict[Partition, int] = {}
    starts: dict[Partition, int] = {}
    removed: dict[Partition, tuple[int, int]] = {}
    partitions = await count_partitions(kafka, topics.sources)
    places = [(topic, number) for topic, count in partitions.items() for number in range(count)]
    # Before the logs: otherwise a running intake could appear to have read past the end.
    offsets = await read_group_offsets(kafka, name_intake_group(group_id), places)
    for topic in partitions:
        async with open_topic_log(kafka, topic) as log:
            for place in ((topic, number) for number in log.bounds):
                start = starts[place] = log.bounds[place[1]][0]
                committed = offsets.get(place)
                if committed is None or not committed.metadata:
                    continue
                if start > committed.offset:
                    removed[place] = committed.offset, start
                elif await _is_another(log, place[1], committed):
                    recreated[place] = start
    return SourcesSeen(recreated, starts, removed)


async def _is_another(log: TopicLog, partition: int, committed: GroupOffset) -> bool:
    start, end = log.bounds[partition]
    if committed.offset > end:
        return True
    if committed.offset == start:
        # The record that it remembers has been removed by age.
        return False
    record = await log.get(partition, committed.offset - 1)
    return record is not None and sign_copied(record) != committed.metadata
