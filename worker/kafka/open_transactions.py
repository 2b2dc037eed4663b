"""Finds transactions on a topic that were neither committed nor aborted: nobody can read past them."""

from typing import NamedTuple

from aiokafka import AIOKafkaConsumer

from worker.kafka.connection import REQUEST_SECONDS, KafkaConnection
from worker.kafka.errors import stop_within, translate_errors
from worker.kafka.fetching import read_raw
from worker.kafka.topic_log import open_topic_log


class OpenTransaction(NamedTuple):
    """The oldest open transaction of a partition."""

    partition: int
    offset: int
    """Its first record: the partition's last stable offset."""
    waiting: int
    """How many offsets cannot be read because of it."""
    since_ms: int
    """The time of its first record, in milliseconds since 1970."""


async def find_open_transactions(connection: KafkaConnection, topic: str) -> list[OpenTransaction]:
    """Find the oldest open transaction of each partition of a topic.

    Args:
        connection: how Kafka is reached.
        topic: the full name.

    Returns:
        One for each partition whose last stable offset is below its end.

    Raises:
        KafkaDown: Kafka does not answer.
    """
    async with open_topic_log(connection, topic) as log:
        stable = {number: end for number, (_, end) in log.bounds.items()}
    connection = await connection.find_server()
    consumer = AIOKafkaConsumer(
        topic, **connection.list_options(), isolation_level="read_uncommitted", enable_auto_commit=False
    )
    found = []
    try:
        async with translate_errors(REQUEST_SECONDS, access=connection.access("Read", topic)):
            await consumer.start()
            for place, end in (await consumer.end_offsets(sorted(consumer.assignment()))).items():
                first = stable.get(place.partition, end)
                if first >= end:
                    continue
                consumer.seek(place, first)
                raws = (await consumer.getmany(place, timeout_ms=1000, max_records=1)).get(place)
                if raws:
                    found.append(OpenTransaction(place.partition, first, end - first, read_raw(raws[0]).timestamp_ms))
    finally:
        await stop_within(consumer.stop(), 1.0)
    return found
