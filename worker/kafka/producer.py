"""The two ways of writing to Kafka: at least once for the intake and commands, in a transaction for a lane."""

import asyncio
from collections.abc import Sequence
from typing import Final

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    KafkaError,
    MessageSizeTooLargeError,
)
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.structs import OffsetAndMetadata

from contracts.records import Outgoing
from worker.kafka.connection import APPEND_SECONDS, TRANSACTION_MS, KafkaConnection
from worker.kafka.errors import (
    FAULTS,
    KafkaDown,
    LaneLost,
    MessageTooLarge,
    describe_error,
    stop_within,
    translate_errors,
)
from worker.kafka.group_offsets import Partition

# The contract's 17 MiB, and room for the frame around a record.
_REQUEST_BYTES: Final = 18 * 1024 * 1024

_BATCH_BYTES: Final = 512 * 1024

# Back-to-back transactions meet CONCURRENT_TRANSACTIONS; this is how long AddOffsets then waits.
_RETRY_MS: Final = 4


class Appender:
    """Appends records, each at least once and in order per key; for the intake and for commands.

    ``spread_over`` keeps a key on its partition when a topic is given more of them: only so many are used.
    """

    def __init__(self, connection: KafkaConnection, spread_over: int | None = None) -> None:
        self._connection = connection
        self._spread_over = spread_over
        self._producer: AIOKafkaProducer | None = None
        self._taking_turns = asyncio.Lock()

    async def append(self, records: Sequence[Outgoing]) -> None:
        """Append records; all are safe when this returns, and some may be when it raises."""
        # One at a time: after a failure the whole producer is replaced.
        async with self._taking_turns:
            try:
                async with translate_errors(), asyncio.timeout(APPEND_SECONDS):
                    producer = self._producer or await self._make()
                    await _send_all(producer, records)
            except (KafkaDown, MessageTooLarge):
                # Also after a refusal for size: its numbers in the sequence are used up, and the next would not fit.
                await self.close(1.0)
                raise

    async def close(self, within: float) -> None:
        """Close it, if it lets itself be closed in time."""
        producer, self._producer = self._producer, None
        if producer:
            await _close_producer(producer, within)

    async def _make(self) -> AIOKafkaProducer:
        self._producer = AIOKafkaProducer(
            **self._connection.list_options(),
            enable_idempotence=True,
            max_batch_size=_BATCH_BYTES,
            max_request_size=_REQUEST_BYTES,
            partitioner=self._choose_partition,
        )
        await self._producer.start()
        return self._producer

    def _choose_partition(self, key: bytes | None, partitions: list[int], available: list[int]) -> int:
        used = partitions[: self._spread_over]
        chosen: int = DefaultPartitioner()(key, used, [number for number in available if number in used])
        return chosen


class Publisher:
    """One lane's transactional producer."""

    def __init__(self, connection: KafkaConnection, transactional_id: str) -> None:
        self._producer = AIOKafkaProducer(
            **connection.list_options(),
            transactional_id=transactional_id,
            transaction_timeout_ms=TRANSACTION_MS,
            max_batch_size=_BATCH_BYTES,
            max_request_size=_REQUEST_BYTES,
            retry_backoff_ms=_RETRY_MS,
        )

    async def start(self, within: float = 10.0) -> None:
        """Become the only producer of this lane: ``InitProducerId`` is done, and earlier ones are fenced."""
        async with translate_errors(), asyncio.timeout(within):
            await self._producer.start()

    async def publish(
        self,
        group_id: str,
        partition: Partition,
        offset: int,
        metadata: str,
        records: Sequence[Outgoing],
        *,
        within: float,
    ) -> None:
        """Publish records and the lane's own offset in one transaction.

        Raises ``LaneLost`` where the outcome is not known or the producer is fenced, ``MessageTooLarge`` where
        nothing is visible. After either the producer is of no use: make another.
        """
        producer = self._producer
        try:
            async with asyncio.timeout(within):
                await producer.begin_transaction()
                # First, and waited for: what comes first in a transaction waits for the end of the one before,
                # and AddPartitions would wait a fixed 20 ms.
                offsets = {TopicPartition(*partition): OffsetAndMetadata(offset, metadata)}
                await producer.send_offsets_to_transaction(offsets, group_id)
                try:
                    await _send_all(producer, records)
                except MessageTooLarge:
                    await producer.abort_transaction()
                    raise
                await producer.commit_transaction()
        except FAULTS as error:
            raise LaneLost(describe_error(error)) from error

    async def close(self, within: float) -> None:
        """Close it, if it lets itself be closed in time."""
        await _close_producer(self._producer, within)


async def _send_all(producer: AIOKafkaProducer, records: Sequence[Outgoing]) -> None:
    sent = [await _send(producer, record) for record in records]
    # Every one is awaited: a transaction commits although a send failed unless somebody looks.
    for record, result in zip(records, await asyncio.gather(*sent, return_exceptions=True), strict=True):
        if isinstance(result, MessageSizeTooLargeError):
            raise MessageTooLarge(_tell_size(record)) from result
        if isinstance(result, asyncio.CancelledError):
            # aiokafka gave the send up; as it is, it would end the task that waits, without a word.
            raise KafkaError("the send was given up") from result
        if isinstance(result, BaseException):
            raise result


def _tell_size(record: Outgoing) -> str:
    return (
        f"{record.topic} does not take a message of {len(record.value or b'')} bytes: raise its max.message.bytes, as "
        f"`budget-bridge topics` sets it for topics that it makes (docs/messages.md lists them)"
    )


async def _send(producer: AIOKafkaProducer, record: Outgoing) -> asyncio.Future[object]:
    if record.key is not None or record.value is not None:
        try:
            sent = await producer.send(record.topic, value=record.value, key=record.key, headers=list(record.headers))
        except MessageSizeTooLargeError as error:
            raise MessageTooLarge(_tell_size(record)) from error
    else:
        # Its send() asserts that there is one of them; a dead letter must be able to have neither.
        batch = producer.create_batch()
        batch.append(key=None, value=None, timestamp=None, headers=list(record.headers))
        sent = await producer.send_batch(batch, record.topic, partition=0)
    future: asyncio.Future[object] = sent
    return future


async def _close_producer(producer: AIOKafkaProducer, within: float) -> None:
    # Its stop() hung 25 s with a broker down.
    if not await stop_within(producer.stop(), within):
        sender = producer._sender.sender_task  # noqa: SLF001 - no other way to end it
        if sender:
            sender.cancel()
        await stop_within(producer.client.close(), within)
