"""A member of a consumer group that reads committed records, with guards against aiokafka's faults."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, TopicAuthorizationFailedError

from contracts.records import Record
from worker.kafka.connection import REQUEST_SECONDS, SERVER_SECONDS, KafkaConnection
from worker.kafka.errors import KafkaDown, stop_within, translate_errors
from worker.kafka.fetching import fetch_records, rewind
from worker.kafka.group_offsets import GroupOffset, Partition, write_offsets
from worker.kafka.membership import attend_group
from worker.kafka.stall_detector import StallDetector

SESSION_MS: Final = 10_000
"""A member that has been silent for this long is removed from its group."""

REBALANCE_MS: Final = 12_000
"""Longest that members may take to rejoin: a lane that stops, finishes and publishes its batch within it."""

METADATA_MS: Final = 10_000
"""How soon new partitions of a topic are noticed; aiokafka's default is five minutes."""

GROUP_REQUEST_MS: Final = 15_000
"""A request to join is answered only when all members have joined, so it waits longer than a rebalance takes."""

CLOSE_SECONDS: Final = 1.0
_NOWHERE: Final = 2**63 - 1

OnPartitions = Callable[[list[Partition]], Awaitable[None]]
_OnPlaces = Callable[[set[TopicPartition]], Awaitable[None]]


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """Passes on which partitions are assigned to one client and revoked from it, until the client has left."""

    def __init__(self, on_assigned: _OnPlaces, on_revoked: _OnPlaces) -> None:
        self._on_assigned = on_assigned
        self._on_revoked = on_revoked
        self.is_over = False

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        if not self.is_over:
            await self._on_assigned(assigned)

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        if not self.is_over:
            await self._on_revoked(revoked)


class Consumer:
    """A member of a consumer group that reads committed records.

    Args:
        connection: how Kafka is reached.
        group_id: the group.
        topics: their full names.
        start: where a partition without an offset begins: ``earliest`` or ``none``.
        fetch_bytes: how many bytes are prefetched of each partition; a larger record is fetched alone.
        on_assigned: awaited while the group waits; what it raises is raised again at the next fetch, because
            aiokafka only logs it.
        on_revoked: likewise.
    """

    def __init__(  # noqa: PLR0913 - what a member of a group is made of
        self,
        connection: KafkaConnection,
        group_id: str,
        topics: Sequence[str],
        *,
        start: str,
        fetch_bytes: int = 512 * 1024,
        on_assigned: OnPartitions | None = None,
        on_revoked: OnPartitions | None = None,
    ) -> None:
        self._connection = connection
        self._access = connection.access("Read", *topics)
        self._topics = topics
        self._on_assigned = on_assigned
        self._on_revoked = on_revoked
        self._broken: Exception | None = None
        self._fetching: dict[Partition | None, asyncio.Task[list[Record]]] = {}
        self._stalls = StallDetector()
        self._joined = asyncio.Event()
        self._one_call_at_a_time = asyncio.Lock()
        self._consumer: AIOKafkaConsumer | None = None
        self._listener: _Listener | None = None
        self._options = {
            "group_id": group_id,
            # Its defaults are the opposite of both.
            "isolation_level": "read_committed",
            "auto_offset_reset": start,
            "enable_auto_commit": False,
            "session_timeout_ms": SESSION_MS,
            "heartbeat_interval_ms": SESSION_MS // 5,
            # Falls back to the session's otherwise: too short to finish a batch at a revocation.
            "rebalance_timeout_ms": REBALANCE_MS,
            "request_timeout_ms": GROUP_REQUEST_MS,
            "max_poll_interval_ms": 300_000,
            "max_partition_fetch_bytes": fetch_bytes,
            "fetch_max_wait_ms": 500,
            "metadata_max_age_ms": METADATA_MS,
            "retry_backoff_ms": 100,
        }

    async def start(self) -> None:
        """Join the group; raises ``KafkaDown``, after which it may be started again."""
        async with translate_errors(access=self._access):
            connection = await self._connection.find_server()
        consumer = AIOKafkaConsumer(**connection.list_options() | self._options)
        listener = _Listener(partial(self._call, self._on_assigned), partial(self._call, self._on_revoked))
        try:
            async with translate_errors(REQUEST_SECONDS, access=self._access):
                await consumer.start()
                consumer.subscribe(self._topics, listener=listener)
        except BaseException:
            listener.is_over = True
            await stop_within(consumer.stop(), CLOSE_SECONDS)
            raise
        self._consumer, self._listener = consumer, listener
        self._joined.set()

    async def close(self, within: float) -> None:
        """Leave the group, if that can be done in time.

        Args:
            within: longest wait, in seconds.
        """
        self._joined.clear()
        self._stop_listening()
        consumer, self._consumer = self._consumer, None
        if consumer:
            await stop_within(consumer.stop(), within)
        fetching, self._fetching = list(self._fetching.values()), {}
        for task in fetching:
            task.cancel()
        if fetching:
            await asyncio.wait(fetching, timeout=CLOSE_SECONDS)

    async def rejoin(self) -> None:
        """Leave the group and join it as a new member; raises ``KafkaDown``, after which it may be tried again.

        What is processed here is stopped and started by the callbacks, as in any rebalance.
        """
        # First: what a rebalance still assigned to the leaving member would be processed twice, or forever.
        self._stop_listening()
        try:
            await self._call(self._on_revoked, self._assignment)
        finally:
            await self.close(CLOSE_SECONDS)
        self._stalls.forget()
        await self.start()

    async def fetch(self, partition: Partition, at_most: int, within: float) -> list[Record]:
        """Fetch what is available of one partition.

        Args:
            partition: which.
            at_most: most records.
            within: longest wait for a first one, in seconds.

        Returns:
            Records in order; none if nothing arrived in time.

        Raises:
            KafkaDown: Kafka does not answer as it should; nothing that was not returned is skipped.
        """
        return await self._fetch(partition, (TopicPartition(*partition),), at_most, within)

    async def fetch_any(self, at_most: int, within: float) -> list[Record]:
        """Fetch what is available of all partitions, in order within each; otherwise like ``fetch``."""
        return await self._fetch(None, (), at_most, within)

    async def seek(self, partition: Partition, offset: int) -> None:
        """Continue reading at an offset; what was fetched before is dropped.

        Raises:
            KafkaDown: an earlier fetch does not end, so that the next one might return its records.
        """
        if pending := self._fetching.get(partition):
            # It would take records from after the new place. If this gives up, the task is left to the next caller.
            _, late = await asyncio.wait({pending}, timeout=SERVER_SECONDS)
            if late:
                message = f"a fetch from {partition[0]}/{partition[1]} has not ended in {SERVER_SECONDS:.0f} s"
                raise KafkaDown(message)
            self._fetching.pop(partition, None)
        async with translate_errors(access=self._access):
            if self._consumer and TopicPartition(*partition) in self._assignment:
                self._consumer.seek(TopicPartition(*partition), offset)
                self.resume(partition)

    def count_waiting(self, partition: Partition, offset: int) -> int:
        """Count the records from an offset on, by what the broker reported with the last fetch."""
        place = TopicPartition(*partition)
        if self._consumer is None or place not in self._assignment:
            return 0
        return max((self._consumer.highwater(place) or 0) - offset, 0)

    def list_ends(self) -> dict[Partition, tuple[int, int]]:
        """List the last stable offset and the end of each partition, as the broker reported them with the last fetch.

        In between is what a transaction that is still open keeps from being read.
        """
        found: dict[Partition, tuple[int, int]] = {}
        if self._consumer is None:
            return found
        for place in self._consumer.assignment():
            stable, end = self._consumer.last_stable_offset(place), self._consumer.highwater(place)
            if stable is not None and end is not None:
                found[place.topic, place.partition] = stable, end
        return found

    def pause(self, partition: Partition) -> None:
        """Return nothing of a partition until the next seek; fetching it still counts as polling."""
        if self._consumer and TopicPartition(*partition) in self._assignment:
            self._consumer.pause(TopicPartition(*partition))

    def resume(self, partition: Partition) -> None:
        """Return records of a partition again, from its present position on."""
        place = TopicPartition(*partition)
        if self._consumer and place in self._assignment:
            self._consumer.resume(place)
            self._stalls.forget(place)

    async def poll(self, within: float) -> None:
        """Stay a member of the group for ``within`` seconds without reading anything."""
        wanted = self._assignment - (self._consumer.paused() if self._consumer else set())
        for place in wanted:
            self.pause((place.topic, place.partition))
        try:
            drained = await self.fetch_any(1, within)
            # A fetch from before the pause may have ended only now.
            first = {TopicPartition(*record.place[:2]): record.place.offset for record in reversed(drained)}
            if self._consumer:
                rewind(self._consumer, first)
        finally:
            for place in wanted:
                self.resume((place.topic, place.partition))

    async def ask(self) -> None:
        """Return if Kafka answers, and raise ``KafkaDown`` if it does not."""
        async with translate_errors(SERVER_SECONDS, access=self._access):
            await self._get_consumer().topics()

    async def bounds(self, partition: Partition) -> tuple[int, int]:
        """Read the first offset of a partition and the one after its last; raises ``KafkaDown``."""
        place = TopicPartition(*partition)
        async with translate_errors(2 * SERVER_SECONDS, access=self._access):
            first = await self._get_consumer().beginning_offsets([place])
            after = await self._get_consumer().end_offsets([place])
        return first[place], after[place]

    async def commit(self, offsets: Mapping[Partition, GroupOffset]) -> None:
        """Commit offsets, except of partitions that belong to another member by now, which reads them again.

        Raises:
            KafkaDown: it is unknown whether they are committed.
        """
        # aiokafka refuses the whole commit if one of the partitions is no longer ours.
        ours = self._assignment
        still = {place: committed for place, committed in write_offsets(offsets).items() if place in ours}
        if not still:
            return
        async with translate_errors(SERVER_SECONDS, access=self._access):
            with suppress(CommitFailedError, IllegalStateError):
                await self._get_consumer().commit(still)

    async def find_stalled(self, seconds: float) -> list[Partition]:
        """Find the partitions that have more records, are being fetched, and return nothing; stay in the group.

        Args:
            seconds: for how long they must have returned nothing. Call this more often than that.

        Returns:
            Those partitions, in order.

        Raises:
            KafkaDown: this member gets no answer from Kafka.
            NotPermitted: one of the topics, or the group, may not be read.
        """
        consumer = self._get_consumer()
        asked = consumer.assignment() - consumer.paused()
        places = [place for place in self._stalls.list_quiet() if place in asked]
        async with translate_errors(SERVER_SECONDS, access=self._access):
            attend_group(consumer)
            # A topic that may not even be described is not read, and aiokafka raises nothing.
            if hidden := consumer._client.cluster.unauthorized_topics & set(self._topics):  # noqa: SLF001 - see above
                raise TopicAuthorizationFailedError(hidden)
            ends = await consumer.end_offsets(places) if places else await consumer.topics() and {}
        behind = {place: at for place in places if (at := await self._find_position(consumer, place)) < ends[place]}
        return [(place.topic, place.partition) for place in self._stalls.find(behind, seconds)]

    @property
    def _assignment(self) -> set[TopicPartition]:
        assigned: set[TopicPartition] = self._consumer.assignment() if self._consumer else set()
        return assigned

    def _get_consumer(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            message = "this consumer has left its group"
            raise KafkaDown(message)
        return self._consumer

    def _stop_listening(self) -> None:
        if self._listener:
            self._listener.is_over = True

    async def _call(self, callback: OnPartitions | None, places: set[TopicPartition]) -> None:
        if callback is None:
            return
        # A rejoin may come while a rebalance is stopping what is processed here.
        async with self._one_call_at_a_time:
            try:
                await callback(sorted((place.topic, place.partition) for place in places))
            except Exception as error:  # noqa: BLE001 - not swallowed: raised at the next fetch
                self._broken = error

    @staticmethod
    async def _find_position(consumer: AIOKafkaConsumer, place: TopicPartition) -> int:
        try:
            position: int = await asyncio.wait_for(consumer.position(place), 1.0)
        except TimeoutError:
            # It never learned its position, and will not learn it.
            return -1
        except IllegalStateError:
            # It belongs to another member by now.
            return _NOWHERE
        return position

    async def _fetch(
        self, name: Partition | None, places: tuple[TopicPartition, ...], at_most: int, within: float
    ) -> list[Record]:
        if self._broken:
            broken, self._broken = self._broken, None
            raise broken
        if self._consumer is None:
            # Between leaving the group and joining it again.
            with suppress(TimeoutError):
                await asyncio.wait_for(self._joined.wait(), within)
            return []
        # Never cancelled: one cancelled getmany switches aiokafka's max-poll check off for good. And during a
        # rebalance it waits without limit, so the task is left to itself and asked again.
        consumer, task = self._consumer, self._fetching.pop(name, None)
        task = task or asyncio.create_task(fetch_records(consumer, places, at_most, within))
        try:
            await asyncio.wait({task}, timeout=within + 0.05)
        except BaseException:
            # The task is left to whoever fetches or seeks next: nothing that it drained may be lost.
            if self._consumer is consumer:
                self._fetching[name] = task
            raise
        if self._consumer is not consumer:
            # Rejoined meanwhile: the fetch of the member that left may never end, and its records are read again.
            task.cancel()
            return []
        # To find nothing without waiting is no silence: a lane that asks like this already has records to work on.
        awaited = (places or self._assignment) if within else ()
        if not task.done():
            self._fetching[name] = task
            self._stalls.note(awaited, (), full=False)
            return []
        if task.cancelled():
            # By ``close``, during a rejoin.
            return []
        async with translate_errors(access=self._access):
            found = task.result()
        self._stalls.note(awaited, found, full=len(found) >= at_most)
        return found
