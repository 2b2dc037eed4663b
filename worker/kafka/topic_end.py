"""Follows a topic from its end, from outside: it joins no group, commits nothing and moves nobody's offset."""

from collections.abc import AsyncIterator
from time import monotonic
from typing import Final

from aiokafka import AIOKafkaConsumer

from contracts.records import Record
from worker.kafka.connection import REQUEST_SECONDS, KafkaConnection
from worker.kafka.errors import stop_within, translate_errors
from worker.kafka.fetching import fetch_records

CHECK_SECONDS: Final = 5.0
"""How often it asks whether the brokers still answer: a client of aiokafka's only becomes silent when they do not."""

_WAIT_SECONDS: Final = 1.0


async def follow_topic(connection: KafkaConnection, topic: str) -> AsyncIterator[list[Record]]:
    """Follow what is committed to a topic from now on, without end.

    Args:
        connection: how Kafka is reached.
        topic: its full name.

    Yields:
        New records; first, and whenever the brokers were asked and have answered, none.

    Raises:
        KafkaDown: Kafka does not answer.
    """
    connection = await connection.find_server()
    # Without a group, all partitions are assigned to it.
    consumer = AIOKafkaConsumer(
        topic,
        **connection.list_options(),
        isolation_level="read_committed",
        auto_offset_reset="latest",
        enable_auto_commit=False,
    )
    try:
        async with translate_errors(REQUEST_SECONDS):
            await consumer.start()
            await consumer.seek_to_end()
        checked = 0.0
        while True:
            if monotonic() - checked > CHECK_SECONDS:
                async with translate_errors(REQUEST_SECONDS):
                    await consumer.end_offsets(consumer.assignment())
                checked = monotonic()
                yield []
            async with translate_errors(REQUEST_SECONDS):
                records = await fetch_records(consumer, (), 1000, _WAIT_SECONDS)
            if records:
                yield records
    finally:
        await stop_within(consumer.stop(), 1.0)
