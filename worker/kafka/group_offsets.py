"""Reads and commits a group's offsets from outside the group.

They are read with a request of our own, because aiokafka hides that a coordinator is still loading.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.client import AIOKafkaClient, ConnectionGroup, CoordinationType
from aiokafka.errors import (
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    NotCoordinatorError,
    TopicAuthorizationFailedError,
    for_code,
)
from aiokafka.protocol.commit import OffsetFetchRequest
from aiokafka.structs import OffsetAndMetadata

from worker.kafka.client import open_client
from worker.kafka.connection import REQUEST_SECONDS, KafkaConnection
from worker.kafka.errors import stop_within, translate_errors

Partition = tuple[str, int]
"""A topic's full name and the number of one of its partitions."""

_LOADING: Final = (CoordinatorLoadInProgressError, CoordinatorNotAvailableError, NotCoordinatorError)


@dataclass(frozen=True, slots=True)
class GroupOffset:
    """What a group has committed for a partition."""

    offset: int
    metadata: str


async def read_group_offsets(
    connection: KafkaConnection, group_id: str, partitions: Sequence[Partition], within: float = REQUEST_SECONDS
) -> dict[Partition, GroupOffset]:
    """Read what a group has committed.

    aiokafka's own calls turn "the coordinator is still loading" into "no offset", and a lane that believed that would
    publish everything again.

    Args:
        connection: how Kafka is reached.
        group_id: the group.
        partitions: those to read.
        within: longest that it may take, in seconds.

    Returns:
        The offsets; a partition is left out only if the group has none for it.

    Raises:
        KafkaDown: the coordinator does not answer in time.
    """
    access = connection.access("Describe", group_id)
    async with translate_errors(within, access=access), open_client(connection) as client:
        while True:
            try:
                return await _ask_coordinator(client, group_id, partitions)
            except _LOADING:
                await asyncio.sleep(0.05)


async def _ask_coordinator(
    client: AIOKafkaClient, group_id: str, partitions: Sequence[Partition]
) -> dict[Partition, GroupOffset]:
    node = await client.coordinator_lookup(CoordinationType.GROUP, group_id)
    if not await client.ready(node, group=ConnectionGroup.COORDINATION):
        raise CoordinatorNotAvailableError
    topics = {topic for topic, _ in partitions}
    asked = [(topic, [number for name, number in partitions if name == topic]) for topic in topics]
    response = await client.send(node, OffsetFetchRequest(group_id, asked), group=ConnectionGroup.COORDINATION)
    found: dict[Partition, GroupOffset] = {}
    failures = [response.error_code]
    for topic, answers in response.topics:
        for number, offset, metadata, error_code in answers:
            if error_code == TopicAuthorizationFailedError.errno:
                raise TopicAuthorizationFailedError(topic)
            failures.append(error_code)
            if offset >= 0:
                found[topic, number] = GroupOffset(offset, metadata or "")
    for code in failures:
        if code:
            raise for_code(code)
    return found


async def commit_group_offsets(
    connection: KafkaConnection, group_id: str, offsets: Mapping[Partition, GroupOffset]
) -> None:
    """Commit offsets for a group without members.

    Args:
        connection: how Kafka is reached.
        group_id: the group.
        offsets: what to commit.

    Raises:
        KafkaDown: Kafka does not answer, or the group has members.
    """
    connection = await connection.find_server()
    consumer = AIOKafkaConsumer(**connection.list_options(), group_id=group_id, enable_auto_commit=False)
    try:
        async with translate_errors(REQUEST_SECONDS, access=connection.access("Read", group_id)):
            await consumer.start()
            consumer.assign([TopicPartition(*partition) for partition in offsets])
            await consumer.commit(write_offsets(offsets))
    finally:
        await stop_within(consumer.stop(), 1.0)


def write_offsets(offsets: Mapping[Partition, GroupOffset]) -> dict[TopicPartition, OffsetAndMetadata]:
    """Write offsets as aiokafka takes them."""
    return {
        TopicPartition(*place): OffsetAndMetadata(committed.offset, committed.metadata)
        for place, committed in offsets.items()
    }
