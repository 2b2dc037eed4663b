"""The only file that knows aiokafka: a small typed surface over what it does, and what it must be kept from doing.

Whoever calls it sees records, and three things that can go wrong: Kafka is away, the lane is lost, a message is
too large.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.client import AIOKafkaClient, ConnectionGroup, CoordinationType
from aiokafka.conn import create_conn
from aiokafka.errors import (
    CommitFailedError,
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    IllegalStateError,
    KafkaError,
    MessageSizeTooLargeError,
    NotCoordinatorError,
    TopicAuthorizationFailedError,
    for_code,
)
from aiokafka.helpers import create_ssl_context
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.protocol.admin import ApiVersionRequest
from aiokafka.protocol.commit import OffsetFetchRequest
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.structs import OffsetAndMetadata

from budget_bridge.contracts.records import Outgoing, Place, Record

Partition = tuple[str, int]
"""A topic's full name and the number of one of its partitions."""

SESSION_MS: Final = 10_000
REBALANCE_MS: Final = 30_000
METADATA_MS: Final = 10_000
TRANSACTION_MS: Final = 20_000
APPEND_SECONDS: Final = 20.0
# The contract's 17 MiB, and room for the frame around a record.
_REQUEST_BYTES: Final = 18 * 1024 * 1024
_BATCH_BYTES: Final = 512 * 1024
# Back-to-back transactions meet CONCURRENT_TRANSACTIONS; this is how long AddOffsets then waits.
_RETRY_MS: Final = 4
_TOPIC_EXISTS: Final = 36
_NOWHERE: Final = 2**63 - 1
_REQUESTS: Final = {
    8: "OffsetCommit",
    9: "OffsetFetch",
    11: "JoinGroup",
    22: "InitProducerId",
    24: "AddPartitionsToTxn",
    25: "AddOffsetsToTxn",
    26: "EndTxn",
    28: "TxnOffsetCommit",
}
"""By the numbers of Kafka's protocol: what groups and transactions need."""

_LOADING: Final = (CoordinatorLoadInProgressError, CoordinatorNotAvailableError, NotCoordinatorError)
# aiokafka raises AssertionError where a producer is used after a fatal error.
_FAULTS: Final = (KafkaError, OSError, TimeoutError, AssertionError)

# It logs every try while a broker is away; the worker says so once, itself.
logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


class KafkaDown(Exception):  # noqa: N818 - a state of the world
    """Kafka does not answer, or not as it should; trying again may help."""


class LaneLost(Exception):  # noqa: N818 - what happened to the lane
    """This producer is of no use any more, or the outcome of its transaction is not known."""


class MessageTooLarge(Exception):  # noqa: N818 - what is the case with the message
    """The broker or the client takes no record of this size; nothing of its batch is visible."""


@dataclass(frozen=True, slots=True)
class Connection:
    """How Kafka is reached."""

    bootstrap_servers: str
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str = "PLAIN"
    sasl_username: str | None = None
    sasl_password: str | None = field(default=None, repr=False)
    ssl_cafile: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None

    def list_options(self) -> dict[str, Any]:
        """List what every client of aiokafka is made with."""
        options: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap_servers,
            "security_protocol": self.security_protocol,
        }
        if self.security_protocol.startswith("SASL"):
            options |= {
                "sasl_mechanism": self.sasl_mechanism,
                "sasl_plain_username": self.sasl_username,
                "sasl_plain_password": self.sasl_password,
            }
        if self.security_protocol.endswith("SSL"):
            options["ssl_context"] = create_ssl_context(
                cafile=self.ssl_cafile, certfile=self.ssl_certfile, keyfile=self.ssl_keyfile
            )
        return options


@dataclass(frozen=True, slots=True)
class GroupOffset:
    """What a group has committed for a partition."""

    offset: int
    metadata: str


@dataclass(frozen=True, slots=True)
class NewTopicSpec:
    """A topic to be made."""

    name: str
    partitions: int
    settings: Mapping[str, str]


@asynccontextmanager
async def _tell_outages() -> AsyncIterator[None]:
    try:
        yield
    except _FAULTS as error:
        raise KafkaDown(_describe(error)) from error


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": ")


class Reader(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """A member of a consumer group, which reads what is committed.

    ``on_assigned`` and ``on_revoked`` are awaited while the group waits; what they raise is raised again at the
    next fetch, because aiokafka only logs it.
    """

    def __init__(  # noqa: PLR0913 - what a member of a group is made of
        self,
        connection: Connection,
        group_id: str,
        topics: Sequence[str],
        *,
        start: str,
        fetch_bytes: int = 512 * 1024,
        on_assigned: Callable[[list[Partition]], Awaitable[None]] | None = None,
        on_revoked: Callable[[list[Partition]], Awaitable[None]] | None = None,
    ) -> None:
        self._topics = topics
        self._on_assigned = on_assigned
        self._on_revoked = on_revoked
        self._broken: Exception | None = None
        self._fetching: dict[Partition | None, asyncio.Task[list[Record]]] = {}
        self._nothing_since: dict[TopicPartition, float] = {}
        self._behind: dict[TopicPartition, tuple[int, float]] = {}
        self._joined = asyncio.Event()
        self._options = connection.list_options() | {
            "group_id": group_id,
            # Its defaults are the opposite of both.
            "isolation_level": "read_committed",
            "auto_offset_reset": start,
            "enable_auto_commit": False,
            "session_timeout_ms": SESSION_MS,
            "heartbeat_interval_ms": SESSION_MS // 5,
            # Falls back to the session's otherwise: too short to finish a batch at a revocation.
            "rebalance_timeout_ms": REBALANCE_MS,
            "max_poll_interval_ms": 300_000,
            # What lies ready for each partition; a larger record still comes, alone.
            "max_partition_fetch_bytes": fetch_bytes,
            "fetch_max_wait_ms": 500,
            # So soon are new partitions of a topic seen; the default is five minutes.
            "metadata_max_age_ms": METADATA_MS,
            "retry_backoff_ms": 100,
        }
        self._consumer = AIOKafkaConsumer(**self._options)

    async def start(self) -> None:
        """Join the group."""
        async with _tell_outages():
            await self._consumer.start()
            self._consumer.subscribe(self._topics, listener=self)
        self._joined.set()

    async def close(self, within: float) -> None:
        """Leave the group, if it lets itself be left in time."""
        self._joined.clear()
        await _stop(self._consumer.stop(), within)
        for task in self._fetching.values():
            task.cancel()
        await asyncio.gather(*self._fetching.values(), return_exceptions=True)
        self._fetching.clear()

    async def rejoin(self) -> None:
        """Leave the group and join it as a new member: what was carried is stopped and started by the callbacks."""
        await self._tell(self._on_revoked, self._consumer.assignment())
        await self.close(1.0)
        self._nothing_since.clear()
        self._behind.clear()
        self._consumer = AIOKafkaConsumer(**self._options)
        await self.start()

    async def find_silent(self, seconds: float) -> list[Partition]:
        """List the partitions that have more, are asked for it, and hand out nothing for so long; to be called often.

        What has just come in is no sign: it counts from the first call that finds the partition behind.
        """
        asked = self._consumer.assignment() - self._consumer.paused()
        places = [place for place in self._nothing_since if place in asked]
        async with _tell_outages(), asyncio.timeout(seconds):
            ends = await self._consumer.end_offsets(places) if places else {}
        behind = {place: at for place in places if (at := await self._find_position(place)) < ends[place]}
        now = asyncio.get_running_loop().time()
        before, self._behind = self._behind, {}
        for place, position in behind.items():
            stood, since = before.get(place, (position, now))
            self._behind[place] = (position, since if stood == position else now)
        return sorted(
            (place.topic, place.partition)
            for place, (_, since) in self._behind.items()
            if place in self._nothing_since and now - max(since, self._nothing_since[place]) >= seconds
        )

    async def _find_position(self, place: TopicPartition) -> int:
        try:
            position: int = await asyncio.wait_for(self._consumer.position(place), 1.0)
        except TimeoutError:
            # It was never told where to begin, and does not find out.
            return -1
        except IllegalStateError:
            # It has gone to another member meanwhile.
            return _NOWHERE
        return position

    async def fetch(self, partition: Partition, at_most: int, within: float) -> list[Record]:
        """Fetch what is there of one partition; waits ``within`` seconds for something, and returns nothing then."""
        return await self._fetch(partition, (TopicPartition(*partition),), at_most, within)

    async def fetch_any(self, at_most: int, within: float) -> list[Record]:
        """Fetch what is there of all partitions, in order within each."""
        return await self._fetch(None, (), at_most, within)

    async def seek(self, partition: Partition, offset: int) -> None:
        """Read on from an offset; what was fetched before it is dropped."""
        if pending := self._fetching.pop(partition, None):
            # It would take records from behind the new place.
            await asyncio.wait({pending})
        async with _tell_outages():
            if TopicPartition(*partition) in self._consumer.assignment():
                self._consumer.seek(TopicPartition(*partition), offset)
                self.resume(partition)

    def count_waiting(self, partition: Partition, offset: int) -> int:
        """Count the records from an offset on, as far as the broker has told with what was fetched last."""
        place = TopicPartition(*partition)
        if place not in self._consumer.assignment():
            return 0
        return max((self._consumer.highwater(place) or 0) - offset, 0)

    def pause(self, partition: Partition) -> None:
        """Hand out nothing of a partition until the next seek; fetching it still counts as polling."""
        if TopicPartition(*partition) in self._consumer.assignment():
            self._consumer.pause(TopicPartition(*partition))

    async def ask(self) -> None:
        """Find out whether Kafka answers."""
        async with _tell_outages(), asyncio.timeout(APPEND_SECONDS):
            await self._consumer.topics()

    async def poll(self, within: float) -> None:
        """Stay a member while nothing is wanted."""
        wanted = self._consumer.assignment() - self._consumer.paused()
        self._consumer.pause(*wanted)
        try:
            await self.fetch_any(1, within)
        finally:
            for place in wanted:
                self.resume((place.topic, place.partition))

    def resume(self, partition: Partition) -> None:
        """Hand out a partition again, from where it is."""
        place = TopicPartition(*partition)
        if place in self._consumer.assignment():
            self._consumer.resume(place)
            self._nothing_since.pop(place, None)

    async def bounds(self, partition: Partition, within: float = 10.0) -> tuple[int, int]:
        """Tell the first offset of a partition and the one after its last."""
        place = TopicPartition(*partition)
        async with _tell_outages(), asyncio.timeout(within):
            first = await self._consumer.beginning_offsets([place])
            after = await self._consumer.end_offsets([place])
        return first[place], after[place]

    async def commit(self, offsets: Mapping[Partition, GroupOffset]) -> None:
        """Commit offsets; where the partition has gone to another member meanwhile, that one reads again."""
        # aiokafka refuses a whole commit for one partition that is not ours any more.
        ours = self._consumer.assignment()
        still = {place: committed for place, committed in _write_offsets(offsets).items() if place in ours}
        async with _tell_outages():
            try:
                if still:
                    await self._consumer.commit(still)
            except (CommitFailedError, IllegalStateError):
                return

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Be told by aiokafka."""
        await self._tell(self._on_assigned, assigned)

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Be told by aiokafka."""
        await self._tell(self._on_revoked, revoked)

    async def _tell(
        self, whom: Callable[[list[Partition]], Awaitable[None]] | None, places: set[TopicPartition]
    ) -> None:
        if whom is None:
            return
        try:
            await whom(sorted((place.topic, place.partition) for place in places))
        except Exception as error:  # noqa: BLE001 - not swallowed: raised at the next fetch
            self._broken = error

    async def _fetch(
        self, name: Partition | None, places: tuple[TopicPartition, ...], at_most: int, within: float
    ) -> list[Record]:
        if self._broken:
            broken, self._broken = self._broken, None
            raise broken
        if not self._joined.is_set():
            # Between a group left and a group joined anew.
            with suppress(TimeoutError):
                await asyncio.wait_for(self._joined.wait(), within)
            return []
        # Never cancelled: one cancelled getmany switches aiokafka's max-poll check off for good. And during a
        # rebalance it waits without limit, so the task is left to itself and asked again.
        task = self._fetching.pop(name, None) or asyncio.create_task(self._get(places, at_most, within))
        await asyncio.wait({task}, timeout=within + 0.05)
        if not task.done():
            self._fetching[name] = task
            self._note(places, (), full=False)
            return []
        if task.cancelled():
            # By a rejoin meanwhile.
            return []
        async with _tell_outages():
            found = task.result()
        self._note(places, found, full=len(found) >= at_most)
        return found

    def _note(self, places: tuple[TopicPartition, ...], found: Sequence[Record], *, full: bool) -> None:
        """Note since when each partition has handed out nothing; a full answer says nothing of those not in it."""
        now = asyncio.get_running_loop().time()
        if not full:
            for place in places or self._consumer.assignment():
                self._nothing_since.setdefault(place, now)
        for record in found:
            self._nothing_since.pop(TopicPartition(record.place.topic, record.place.partition), None)

    async def _get(self, places: tuple[TopicPartition, ...], at_most: int, within: float) -> list[Record]:
        found = await self._consumer.getmany(*places, timeout_ms=int(within * 1000), max_records=at_most)
        return [_read_raw(raw) for records in found.values() for raw in records]


def _write_offsets(offsets: Mapping[Partition, GroupOffset]) -> dict[TopicPartition, OffsetAndMetadata]:
    return {
        TopicPartition(*place): OffsetAndMetadata(committed.offset, committed.metadata)
        for place, committed in offsets.items()
    }


def _read_raw(raw: Any) -> Record:
    place = Place(raw.topic, raw.partition, raw.offset)
    return Record(place, raw.timestamp, raw.key, raw.value, tuple(raw.headers))


class Appender:
    """Appends records, each at least once and in order per key; for the intake and for commands.

    ``spread_over`` keeps a key on its partition when a topic is given more of them: only so many are used.
    """

    def __init__(self, connection: Connection, spread_over: int | None = None) -> None:
        self._connection = connection
        self._spread_over = spread_over
        self._producer: AIOKafkaProducer | None = None
        self._taking_turns = asyncio.Lock()

    async def append(self, records: Sequence[Outgoing]) -> None:
        """Append records; all are safe when this returns, and some may be when it raises."""
        # One at a time: after a failure the whole producer is replaced.
        async with self._taking_turns:
            try:
                async with _tell_outages(), asyncio.timeout(APPEND_SECONDS):
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

    def __init__(self, connection: Connection, transactional_id: str) -> None:
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
        async with _tell_outages(), asyncio.timeout(within):
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
        except _FAULTS as error:
            raise LaneLost(_describe(error)) from error

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
    if not await _stop(producer.stop(), within):
        sender = producer._sender.sender_task  # noqa: SLF001 - no other way to end it
        if sender:
            sender.cancel()
        await _stop(producer.client.close(), within)


async def _stop(stopping: Awaitable[object], within: float) -> bool:
    try:
        await asyncio.wait_for(stopping, within)
    except _FAULTS:
        return False
    return True


async def read_group_offsets(
    connection: Connection, group_id: str, partitions: Sequence[Partition], within: float
) -> dict[Partition, GroupOffset]:
    """Read what the group has committed; a partition is left out only where the broker says there is nothing.

    aiokafka's own ways turn "the coordinator is still loading" into "no offset", and whoever believes that
    publishes everything again.
    """
    client = AIOKafkaClient(**connection.list_options())
    try:
        async with _tell_outages(), asyncio.timeout(within):
            await client.bootstrap()
            while True:
                try:
                    return await _ask_coordinator(client, group_id, partitions)
                except _LOADING:
                    await asyncio.sleep(0.05)
    finally:
        await _stop(client.close(), 1.0)


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
            failures.append(error_code)
            if offset >= 0:
                found[topic, number] = GroupOffset(offset, metadata or "")
    for code in failures:
        if code:
            raise for_code(code)
    return found


async def commit_group_offsets(connection: Connection, group_id: str, offsets: Mapping[Partition, GroupOffset]) -> None:
    """Commit offsets for a group that has no members; the broker refuses it for one that has."""
    consumer = AIOKafkaConsumer(**connection.list_options(), group_id=group_id, enable_auto_commit=False)
    async with _tell_outages():
        await consumer.start()
        try:
            consumer.assign([TopicPartition(*partition) for partition in offsets])
            await consumer.commit(_write_offsets(offsets))
        finally:
            await _stop(consumer.stop(), 1.0)


class Log:
    """Every committed record of a topic, from its first to the last there was when it was opened."""

    def __init__(self, consumer: AIOKafkaConsumer, topic: str, bounds: Mapping[int, tuple[int, int]]) -> None:
        self._consumer = consumer
        self._topic = topic
        self.bounds = bounds
        """The first offset of each partition, and the one after its last."""

    async def read(self, starts: Mapping[int, int] | None = None) -> AsyncIterator[list[Record]]:
        """Read it in pieces, each in the order of its partition; or only the partitions in ``starts``, from there."""
        ends = {TopicPartition(self._topic, number): end for number, (_, end) in self.bounds.items()}
        if starts is not None:
            ends = {place: end for place, end in ends.items() if place.partition in starts}
        for place in ends:
            self._consumer.seek(place, max(self.bounds[place.partition][0], (starts or {}).get(place.partition, 0)))
        reading = {place for place, end in ends.items() if self.bounds[place.partition][0] < end}
        while reading:
            async with _tell_outages(), asyncio.timeout(APPEND_SECONDS):
                found = await self._consumer.getmany(*reading, timeout_ms=200, max_records=1000)
            for place, raws in found.items():
                yield [_read_raw(raw) for raw in raws if raw.offset < ends[place]]
            async with _tell_outages(), asyncio.timeout(APPEND_SECONDS):
                # Also past what the reader does not see: markers, and what was aborted.
                reading = {place for place in reading if await self._consumer.position(place) < ends[place]}

    async def find_offsets(self, partitions: Iterable[int], at: datetime) -> dict[int, int]:
        """Find where the records from a time on begin; a partition without any is left out."""
        times = {TopicPartition(self._topic, number): int(at.timestamp() * 1000) for number in partitions}
        async with _tell_outages(), asyncio.timeout(APPEND_SECONDS):
            found = await self._consumer.offsets_for_times(times)
        return {place.partition: at.offset for place, at in found.items() if at is not None}

    async def get(self, partition: int, offset: int) -> Record | None:
        """Read one record; ``None`` where there is none at that offset."""
        first, after = self.bounds.get(partition, (0, 0))
        if not first <= offset < after:
            return None
        place = TopicPartition(self._topic, partition)
        self._consumer.seek(place, offset)
        while True:
            async with _tell_outages(), asyncio.timeout(APPEND_SECONDS):
                found = await self._consumer.getmany(place, timeout_ms=200, max_records=1)
                for raw in found.get(place, ()):
                    return _read_raw(raw) if raw.offset == offset else None
                if await self._consumer.position(place) > offset:
                    return None


def choose_partition(key: bytes, partitions: int) -> int:
    """Tell which of so many partitions a record with this key goes to, in all of Kafka's clients."""
    chosen: int = DefaultPartitioner()(key, list(range(partitions)), [])
    return chosen


@asynccontextmanager
async def open_log(connection: Connection, topic: str) -> AsyncIterator[Log]:
    """Look at a topic from outside: joins no group, commits nothing, moves nobody's offset."""
    # Without a group it is given every partition.
    consumer = AIOKafkaConsumer(
        topic,
        **connection.list_options(),
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_partition_fetch_bytes=4 * 1024 * 1024,
    )
    try:
        async with _tell_outages(), asyncio.timeout(APPEND_SECONDS):
            await consumer.start()
            places = sorted(consumer.assignment())
            first = await consumer.beginning_offsets(places)
            after = await consumer.end_offsets(places)
        yield Log(consumer, topic, {place.partition: (first[place], after[place]) for place in places})
    finally:
        await _stop(consumer.stop(), 1.0)


async def create_topics(connection: Connection, topics: Sequence[NewTopicSpec], copies: int | None) -> list[str]:
    """Make the topics that are missing; returns their names. Existing ones stay as they are.

    Each is kept in so many copies; ``None`` is three, or one on each broker where there are fewer.
    """
    admin = AIOKafkaAdminClient(**connection.list_options())
    async with _tell_outages():
        await admin.start()
        try:
            cluster = await admin.describe_cluster()
            factor = copies or min(3, len(cluster["brokers"]))
            response = await admin.create_topics(
                [NewTopic(topic.name, topic.partitions, factor, topic_configs=dict(topic.settings)) for topic in topics]
            )
        finally:
            await admin.close()
    created = []
    for name, code, *message in response.topic_errors:
        if code not in {0, _TOPIC_EXISTS}:
            said = message[0] if message and message[0] else for_code(code).__name__
            failure = f"topic {name} could not be made: {said}"
            raise KafkaDown(failure)
        if code == 0:
            created.append(name)
    return created


async def count_partitions(connection: Connection, topics: Sequence[str]) -> dict[str, int]:
    """Count the partitions of those topics that there are; raises ``KafkaDown`` where one may not be described."""
    async with _tell_outages(), _open_client(connection) as client:
        described = await _ask_for_topics(client, topics)
        for topic in described:
            if topic["error_code"] == TopicAuthorizationFailedError.errno:
                raise TopicAuthorizationFailedError(topic["topic"])
    return {topic["topic"]: len(topic["partitions"]) for topic in described if not topic["error_code"]}


@asynccontextmanager
async def _open_client(connection: Connection) -> AsyncIterator[AIOKafkaClient]:
    client = AIOKafkaClient(**connection.list_options())
    try:
        await client.bootstrap()
        yield client
    finally:
        await _stop(client.close(), 1.0)


async def _ask_for_topics(client: AIOKafkaClient, topics: Sequence[str]) -> list[dict[str, Any]]:
    # aiokafka's own way lets a broker make each topic that is asked for and missing, with the broker's settings.
    request = MetadataRequest(list(topics), allow_auto_topic_creation=False)
    answer = await client.send(client.get_random_node(), request)
    found: list[dict[str, Any]] = answer.to_object()["topics"]
    return found


async def count_brokers(connection: Connection) -> int:
    """Count the brokers that there are now."""
    return len(await list_brokers(connection))


async def list_brokers(connection: Connection) -> list[str]:
    """List the brokers that there are now, each as it is told to clients."""
    async with _tell_outages(), _open_client(connection) as client:
        answer = await client.send(client.get_random_node(), MetadataRequest([], allow_auto_topic_creation=False))
        return [f"{broker['host']}:{broker['port']}" for broker in answer.to_object()["brokers"]]


@dataclass(frozen=True, slots=True)
class TopicState:
    """How a topic is set up on the broker."""

    partitions: int
    copies: int
    """Replicas of the partition that has fewest."""
    in_sync: int
    """Of them in step, where fewest are."""
    settings: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class GroupState:
    """How a group is: what it is doing, and how many are in it."""

    state: str
    members: int


async def describe_topics(connection: Connection, names: Sequence[str]) -> dict[str, TopicState | None]:
    """Describe those topics that there are, with their settings where these may be read; ``None``: not permitted."""
    admin = AIOKafkaAdminClient(**connection.list_options())
    async with _tell_outages():
        await admin.start()
        try:
            found = await _ask_for_topics(admin._client, names)  # noqa: SLF001 - see there
            described = [topic for topic in found if not topic["error_code"]]
            resources = [ConfigResource(ConfigResourceType.TOPIC, topic["topic"]) for topic in described]
            answers = await admin.describe_configs(resources) if resources else []
        finally:
            await admin.close()
    settings: dict[str, dict[str, str]] = {}
    for answer in answers:
        for code, _, _, name, entries in answer.resources:
            if not code:
                settings[name] = {entry[0]: entry[1] or "" for entry in entries}
    hidden = [topic["topic"] for topic in found if topic["error_code"] == TopicAuthorizationFailedError.errno]
    return dict.fromkeys(hidden) | {
        topic["topic"]: TopicState(
            len(topic["partitions"]),
            min((len(partition["replicas"]) for partition in topic["partitions"]), default=0),
            min((len(partition["isr"]) for partition in topic["partitions"]), default=0),
            settings.get(topic["topic"], {}),
        )
        for topic in described
    }


async def describe_group(connection: Connection, group_id: str) -> GroupState:
    """Describe a group; one that nobody ever joined is dead."""
    admin = AIOKafkaAdminClient(**connection.list_options())
    async with _tell_outages():
        await admin.start()
        try:
            [described] = await admin.describe_consumer_groups([group_id])
        finally:
            await admin.close()
    [(code, _, state, _, _, members, *_)] = described.groups
    if code:
        raise KafkaDown(for_code(code).__name__)
    return GroupState(state, len(members))


async def list_missing_requests(connection: Connection, server: str) -> list[str]:
    """Ask one server which requests it takes, and list those of ours that it does not; raises ``KafkaDown``."""
    options = connection.list_options()
    del options["bootstrap_servers"]
    host, _, port = server.rpartition(":")
    async with _tell_outages(), asyncio.timeout(APPEND_SECONDS):
        # A client would hide why this one does not answer, and ask any broker of the cluster.
        opened = await create_conn(host.strip("[]"), int(port), **options)
        try:
            answer = await opened.send(ApiVersionRequest())
        finally:
            opened.close()
    taken = {key for key, _, _ in answer.api_versions}
    return [name for key, name in _REQUESTS.items() if key not in taken]
