"""Sends records as one batch for each partition, which costs a third of handing over one record after the other."""

import asyncio
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from aiokafka.structs import RecordMetadata

from contracts.records import Outgoing, measure_record
from worker.kafka.errors import GIVEN_UP, MessageTooLarge
from worker.kafka.topic_log import choose_partition


class _Sent(NamedTuple):
    """The records of one batch, and the broker's answer to it."""

    records: Sequence[Outgoing]
    answer: asyncio.Future[RecordMetadata]


async def send_records(
    producer: AIOKafkaProducer, records: Sequence[Outgoing], spread_over: int | None = None
) -> list[RecordMetadata]:
    """Send records, in order within each partition, and wait until the brokers have all of them.

    Args:
        producer: a client of aiokafka's, started.
        records: those to send; one without a key goes to the first partition.
        spread_over: how many of a topic's partitions are used; ``None`` for all.

    Returns:
        The broker's answer to each batch.

    Raises:
        MessageTooLarge: a topic does not take a record of this size.
        KafkaError: a batch was not taken, or given up.
    """
    sent: list[_Sent] = []
    try:
        for (topic, partition), some in (await _group(producer, records, spread_over)).items():
            for batch, packed in _pack(producer, some):
                sent.append(_Sent(packed, await producer.send_batch(batch, topic, partition=partition)))
                sys.audit("budget-bridge.producer.batch-handed-over", producer)
    except BaseException:
        for one in sent:
            one.answer.add_done_callback(_ignore_result)
        raise
    # Every one is awaited: otherwise a transaction commits although one of its sends failed.
    answers = await asyncio.gather(*(one.answer for one in sent), return_exceptions=True)
    return [_check(one.records, answer) for one, answer in zip(sent, answers, strict=True)]


async def _group(
    producer: AIOKafkaProducer, records: Sequence[Outgoing], spread_over: int | None
) -> dict[tuple[str, int], list[Outgoing]]:
    """Group records by the partitions that they go to."""
    grouped: dict[tuple[str, int], list[Outgoing]] = defaultdict(list)
    counts: dict[str, int] = {}
    chosen: dict[tuple[bytes | None, int], int] = {}
    for record in records:
        if record.topic not in counts:
            counts[record.topic] = len(await producer.partitions_for(record.topic))
        among = record.key, min(counts[record.topic], spread_over or sys.maxsize)
        if among not in chosen:
            chosen[among] = 0 if record.key is None else choose_partition(record.key, among[1])
        grouped[record.topic, chosen[among]].append(record)
    return grouped


def _pack(producer: AIOKafkaProducer, records: Sequence[Outgoing]) -> Iterator[tuple[Any, list[Outgoing]]]:
    """Pack the records of a partition into batches; one that is larger than a batch is packed alone."""
    batch, packed = producer.create_batch(), list[Outgoing]()
    for record in records:
        if not _append(batch, record):
            yield batch, packed
            batch, packed = producer.create_batch(), []
            _append(batch, record)
        packed.append(record)
    yield batch, packed


def _append(batch: Any, record: Outgoing) -> bool:
    """Append a record to a batch; returns whether there was room for it, which an empty batch always has."""
    headers = list(record.headers)
    return batch.append(timestamp=None, key=record.key, value=record.value, headers=headers) is not None


def _check(records: Sequence[Outgoing], answer: RecordMetadata | BaseException) -> RecordMetadata:
    if isinstance(answer, MessageSizeTooLargeError):
        largest = max(records, key=measure_record)
        message = (
            f"{largest.topic} does not take a record of {measure_record(largest)} bytes: raise its max.message.bytes "
            f"to what `budget-bridge topics` sets for topics that it creates (docs/messages.md lists them)"
        )
        raise MessageTooLarge(message) from answer
    if isinstance(answer, asyncio.CancelledError):
        raise KafkaError(GIVEN_UP) from answer
    if isinstance(answer, BaseException):
        raise answer
    return answer


def _ignore_result(answer: asyncio.Future[Any]) -> None:
    """Keep asyncio from logging the error of each batch that was given up: one is raised already."""
    if not answer.cancelled():
        answer.exception()
