"""Writes to Kafka: at least once for the intake and for commands, in transactions for a lane."""

import asyncio
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Final

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.structs import OffsetAndMetadata, RecordMetadata

from contracts.records import Outgoing, Place
from worker.kafka.connection import KafkaConnection
from worker.kafka.errors import LaneLost, MessageTooLarge, stop_within, translate_errors
from worker.kafka.group_offsets import GroupOffset, Partition
from worker.kafka.sending import send_records

APPEND_SECONDS: Final = 20.0
"""Longest that records may take to be appended, a new producer included."""

START_SECONDS: Final = 10.0
"""Longest that a lane's producer may take to become the only one."""

PRODUCE_MS: Final = 8000
"""Longest that a broker may take for one request of a producer: less than a lane waits for its transaction."""

TRANSACTION_MS: Final = 20_000
"""Kafka itself aborts a transaction that is open for longer."""

_BATCH_BYTES: Final = 512 * 1024
# Back-to-back transactions meet CONCURRENT_TRANSACTIONS; this is how long AddOffsets then waits.
_RETRY_MS: Final = 4
_LOG_APPEND_TIME: Final = 1
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class BrokerClock:
    """The brokers' clock, as far as the answers to appends have shown it: our topics have the broker's time."""

    def __init__(self) -> None:
        self._seen: tuple[int, float] | None = None

    def note(self, appended: Iterable[RecordMetadata]) -> None:
        """Note the time that a broker gave to records just now."""
        times = [one.timestamp for one in appended if one.timestamp_type == _LOG_APPEND_TIME]
        if times:
            self._seen = max(times), monotonic()

    def read(self) -> datetime | None:
        """Read it; ``None`` while nothing has been appended to a topic with the broker's time."""
        if self._seen is None:
            return None
        timestamp_ms, seen_at = self._seen
        return _EPOCH + timedelta(milliseconds=timestamp_ms, seconds=monotonic() - seen_at)


class Appender:
    """Appends records, each at least once and in order per key; for the intake, the timer and commands.

    Args:
        connection: how Kafka is reached.
        spread_over: how many of a topic's partitions are used, so that a key stays on its partition when more are
            added; ``None`` for all.
    """

    def __init__(self, connection: KafkaConnection, spread_over: int | None = None) -> None:
        self._connection = connection
        self._spread_over = spread_over
        self._producer: AIOKafkaProducer | None = None
        self._one_at_a_time = asyncio.Lock()
        self._clock = BrokerClock()

    def read_broker_time(self) -> datetime | None:
        """Read the brokers' clock, as appends have shown it; ``None`` while nothing is known of it."""
        return self._clock.read()

    async def append(self, records: Sequence[Outgoing]) -> None:
        """Append records: all are safe when this returns, and some may be when it raises.

        Raises:
            KafkaDown: Kafka does not answer, or not in ``APPEND_SECONDS``.
            MessageTooLarge: a topic does not take a record of this size.
        """
        await self._append(records)

    async def append_one(self, record: Outgoing) -> Place:
        """Append one record as ``append`` does; returns the place that it was given."""
        [answer] = await self._append([record])
        return Place(answer.topic, answer.partition, answer.offset)

    async def _append(self, records: Sequence[Outgoing]) -> list[RecordMetadata]:
        # After a failure the whole producer is replaced, so nobody else may be using it.
        topics = sorted({record.topic for record in records})
        async with self._one_at_a_time:
            try:
                async with translate_errors(APPEND_SECONDS, access=self._connection.access("Write", *topics)):
                    producer = self._producer or await self._make()
                    answers = await send_records(producer, records, self._spread_over)
                    self._clock.note(answers)
            except BaseException:
                # Also after a refusal for size: its sequence numbers are used up, and the next ones would not fit.
                await self.close(1.0)
                raise
        sys.audit("budget-bridge.appender.appended", records)
        return answers

    async def reconnect(self) -> None:
        """Let the next append connect through the bootstrap address again: the brokers may have moved."""
        # What is being appended replaces the producer itself if that fails.
        if not self._one_at_a_time.locked():
            await self.close(1.0)

    async def close(self, within: float) -> None:
        """Close it, if that can be done in ``within`` seconds."""
        producer, self._producer = self._producer, None
        if producer:
            await _close_producer(producer, within)

    async def _make(self) -> AIOKafkaProducer:
        connection = await self._connection.find_server()
        self._producer = AIOKafkaProducer(
            **connection.list_options() | {"request_timeout_ms": PRODUCE_MS},
            enable_idempotence=True,
            max_batch_size=_BATCH_BYTES,
        )
        await self._producer.start()
        return self._producer


class Publisher:
    """One lane's transactional producer.

    Args:
        connection: how Kafka is reached.
        transactional_id: whoever starts a publisher of this id fences all earlier ones.
        group_id: the group whose offset moves with what is published.
        partition: the lane's inbox partition.
    """

    def __init__(self, connection: KafkaConnection, transactional_id: str, group_id: str, partition: Partition) -> None:
        self._connection = connection
        self._transactional_id = transactional_id
        self._group_id = group_id
        self._partition = TopicPartition(*partition)
        self._producer: AIOKafkaProducer | None = None
        self._sent: Sequence[Outgoing] = ()

    async def start(self) -> None:
        """Become the only producer of this lane: ``InitProducerId`` is done, and earlier ones are fenced.

        Raises:
            KafkaDown: Kafka does not answer, or not in ``START_SECONDS``.
        """
        async with translate_errors(START_SECONDS, access=self._connection.access("Write", self._transactional_id)):
            connection = await self._connection.find_server()
            self._producer = AIOKafkaProducer(
                **connection.list_options() | {"request_timeout_ms": PRODUCE_MS},
                transactional_id=self._transactional_id,
                transaction_timeout_ms=TRANSACTION_MS,
                max_batch_size=_BATCH_BYTES,
                retry_backoff_ms=_RETRY_MS,
            )
            await self._producer.start()
        sys.audit("budget-bridge.publisher.started")

    async def publish(self, offset: GroupOffset, records: Sequence[Outgoing], *, within: float) -> None:
        """Publish records and the lane's own offset in one transaction: ``begin``, ``send`` and ``commit``.

        Args:
            offset: what the group commits for the lane's partition.
            records: what becomes visible with it, in order.
            within: longest that each of the three may take, in seconds.

        Raises:
            LaneLost: the outcome is not known, or the producer is fenced.
            MessageTooLarge: a topic does not take a record of this size; nothing is visible.
        """
        await self.begin(offset, within=within)
        await self.send(records, within=within)
        await self.commit(within=within)

    async def begin(self, offset: GroupOffset, *, within: float) -> None:
        """Begin a transaction with the lane's own offset; it has no effect until ``commit``.

        After any error, also of what follows, the producer cannot be used again: create another. It ends what this one
        began.

        Args:
            offset: what the group commits for the lane's partition.
            within: longest that it may take, in seconds.

        Raises:
            LaneLost: Kafka does not take it, or the producer is fenced.
        """
        producer = self._get_producer()
        async with translate_errors(within, LaneLost, self._connection.access("Read", self._partition.topic)):
            await producer.begin_transaction()
            sys.audit("budget-bridge.publisher.transaction-begun")
            # First, and waited for: what comes first in a transaction waits for the end of the one before,
            # and AddPartitions would wait a fixed 20 ms.
            offsets = {self._partition: OffsetAndMetadata(offset.offset, offset.metadata)}
            await producer.send_offsets_to_transaction(offsets, self._group_id)
        sys.audit("budget-bridge.publisher.offset-sent")

    async def send(self, records: Sequence[Outgoing], *, within: float) -> None:
        """Send what belongs to the transaction that was begun; nothing is visible until ``commit``.

        Args:
            records: what becomes visible with it, in order.
            within: longest that it may take, in seconds.

        Raises:
            LaneLost: Kafka does not take it, or the producer is fenced.
            MessageTooLarge: a topic does not take a record of this size.
        """
        producer = self._get_producer()
        sys.audit("budget-bridge.publisher.about-to-publish", records)
        topics = sorted({record.topic for record in records})
        async with translate_errors(within, LaneLost, self._connection.access("Write", *topics)):
            try:
                await send_records(producer, records)
            except MessageTooLarge:
                await producer.abort_transaction()
                raise
        self._sent = records
        sys.audit("budget-bridge.publisher.records-sent", records)

    async def commit(self, *, within: float) -> None:
        """Make visible what was sent.

        Args:
            within: longest that it may take, in seconds.

        Raises:
            LaneLost: the outcome is not known, or the producer is fenced.
        """
        sys.audit("budget-bridge.publisher.about-to-commit", self._sent)
        async with translate_errors(within, LaneLost, self._connection.access("Write", self._transactional_id)):
            await self._get_producer().commit_transaction()
        sys.audit("budget-bridge.publisher.published", self._sent)

    async def abort(self, *, within: float) -> None:
        """Drop what was sent: nobody sees it.

        Args:
            within: longest that it may take, in seconds.

        Raises:
            LaneLost: Kafka does not take it, or the producer is fenced.
        """
        async with translate_errors(within, LaneLost, self._connection.access("Write", self._transactional_id)):
            await self._get_producer().abort_transaction()
        sys.audit("budget-bridge.publisher.aborted", self._sent)

    def _get_producer(self) -> AIOKafkaProducer:
        if self._producer is None:
            message = "the publisher was not started"
            raise LaneLost(message)
        return self._producer

    async def close(self, within: float) -> None:
        """Close it, if that can be done in ``within`` seconds."""
        producer, self._producer = self._producer, None
        if producer:
            await _close_producer(producer, within)


async def _close_producer(producer: AIOKafkaProducer, within: float) -> None:
    # Its stop() was seen to hang for 25 s with a broker down.
    if not await stop_within(producer.stop(), within):
        sender = producer._sender.sender_task  # noqa: SLF001 - no other way to end it
        if sender:
            sender.cancel()
        await stop_within(producer.client.close(), within)
