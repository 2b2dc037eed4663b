"""Fetches records from a client of aiokafka's without losing any when the fetch fails, and decodes them tolerantly."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import CorruptRecordException

from contracts.records import Place, Record
from worker.kafka import record_decoding

# Importing this module replaces aiokafka's decoder for the whole process.
_DECODER: Final = record_decoding.TolerantRecords


async def fetch_records(
    consumer: AIOKafkaConsumer, places: Sequence[TopicPartition], at_most: int, within: float
) -> list[Record]:
    """Fetch what is available; if that fails, the client goes back to where the fetch began.

    Args:
        consumer: the client.
        places: the partitions to fetch from; none for all that are assigned.
        at_most: most records.
        within: longest wait for a first one, in seconds.

    Returns:
        Records in order within each partition; none if nothing arrived in time, or if a batch is damaged, which is
        then fetched again.
    """
    before = _read_positions(consumer, places or consumer.assignment())
    try:
        found = await consumer.getmany(*places, timeout_ms=int(within * 1000), max_records=at_most)
    except CorruptRecordException:
        # Fetched again, so that nothing is skipped; after some tries the decoder turns the batch into stubs.
        rewind(consumer, before)
        return []
    except BaseException:
        rewind(consumer, before)
        raise
    return [read_raw(raw) for records in found.values() for raw in records]


def _read_positions(consumer: AIOKafkaConsumer, places: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
    subscription = consumer._subscription.subscription  # noqa: SLF001 - position() may wait for the broker
    assignment = subscription.assignment if subscription else None
    if assignment is None:
        return {}
    states = {place: assignment.state_value(place) for place in places if place in assignment.tps}
    return {place: state.position for place, state in states.items() if state and state.has_valid_position}


def rewind(consumer: AIOKafkaConsumer, positions: Mapping[TopicPartition, int]) -> None:
    """Go back to where a fetch began: aiokafka moves past what it drained, also if another partition then failed."""
    still = consumer.assignment()
    for place, position in positions.items():
        if place in still:
            consumer.seek(place, position)


def read_raw(raw: Any) -> Record:
    """Convert one of aiokafka's records to ours."""
    place = Place(raw.topic, raw.partition, raw.offset)
    return Record(place, raw.timestamp, raw.key, raw.value, tuple(raw.headers))
