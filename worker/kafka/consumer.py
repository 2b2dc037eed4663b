"""A member of a consumer group that reads committed records, and what aiokafka must be kept from doing to it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
)

from contracts.records import Place, Record
from worker.kafka.connection import APPEND_SECONDS, METADATA_MS, REBALANCE_MS, SESSION_MS, KafkaConnection
from worker.kafka.errors import stop_within, translate_errors
from worker.kafka.group_offsets import GroupOffset, Partition, write_offsets

_NOWHERE: Final = 2**63 - 1


class Consumer(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """A member of a consumer group, which reads what is committed.

    ``on_assigned`` and ``on_revoked`` are awaited while the group waits; what they raise is raised again at the
    next fetch, because aiokafka only logs it.
    """

    def __init__(  # noqa: PLR0913 - what a member of a group is made of
        self,
        connection: KafkaConnection,
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
        async with translate_errors():
            await self._consumer.start()
            self._consumer.subscribe(self._topics, listener=self)
        self._joined.set()

    async def close(self, within: float) -> None:
        """Leave the group, if it lets itself be left in time."""
        self._joined.clear()
        await stop_within(self._consumer.stop(), within)
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
        async with translate_errors(), asyncio.timeout(seconds):
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
        async with translate_errors():
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
        async with translate_errors(), asyncio.timeout(APPEND_SECONDS):
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
        async with translate_errors(), asyncio.timeout(within):
            first = await self._consumer.beginning_offsets([place])
            after = await self._consumer.end_offsets([place])
        return first[place], after[place]

    async def commit(self, offsets: Mapping[Partition, GroupOffset]) -> None:
        """Commit offsets; where the partition has gone to another member meanwhile, that one reads again."""
        # aiokafka refuses a whole commit for one partition that is not ours any more.
        ours = self._consumer.assignment()
        still = {place: committed for place, committed in write_offsets(offsets).items() if place in ours}
        async with translate_errors():
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
        async with translate_errors():
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
        return [read_raw(raw) for records in found.values() for raw in records]


def read_raw(raw: Any) -> Record:
    """Read one of aiokafka's records as ours."""
    place = Place(raw.topic, raw.partition, raw.offset)
    return Record(place, raw.timestamp, raw.key, raw.value, tuple(raw.headers))
