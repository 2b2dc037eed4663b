"""Reads a whole topic from outside: it joins no group, commits nothing and moves nobody's offset."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.partitioner import DefaultPartitioner

from contracts.records import Record
from worker.kafka.connection import REQUEST_SECONDS, KafkaConnection
from worker.kafka.errors import UNNAMED, Access, stop_within, translate_errors
from worker.kafka.fetching import read_raw

WAIT_MS: Final = 20
"""Longest that one fetch waits. All there is to read is there: only markers, which no reader sees, come after it.

While a broker keeps a fetch waiting, it also keeps every other request of that client waiting.
"""


class TopicLog:
    """The committed records of a topic, up to the last one at the time it was opened."""

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        topic: str,
        bounds: Mapping[int, tuple[int, int]],
        access: Access = UNNAMED,
    ) -> None:
        self._consumer = consumer
        self._access = access
        self._topic = topic
        self.bounds = bounds
        """The first offset of each partition, and the one after its last."""

    async def read(self, starts: Mapping[int, int] | None = None) -> AsyncIterator[list[Record]]:
        """Read the records in pieces, those of each partition in order.

        Args:
            starts: which partitions to read, and from which offsets on; ``None`` reads all from their beginning.
        """
        ends = {TopicPartition(self._topic, number): end for number, (_, end) in self.bounds.items()}
        if starts is not None:
            ends = {place: end for place, end in ends.items() if place.partition in starts}
        for place in ends:
            self._consumer.seek(place, max(self.bounds[place.partition][0], (starts or {}).get(place.partition, 0)))
        reading = {place for place, end in ends.items() if self.bounds[place.partition][0] < end}
        positions: dict[TopicPartition, int] = {}
        while reading:
            async with translate_errors(REQUEST_SECONDS, access=self._access):
                found = await self._fetch_further(reading, positions)
            for place, raws in found.items():
                yield [read_raw(raw) for raw in raws if raw.offset < ends[place]]
            reading = {place for place in reading if positions[place] < ends[place]}

    async def _fetch_further(
        self, reading: Iterable[TopicPartition], positions: dict[TopicPartition, int]
    ) -> Mapping[TopicPartition, Sequence[Any]]:
        """Fetch until a position moves: also past what the reader does not see, markers and what was aborted.

        A broker that no longer answers makes aiokafka return nothing, forever.
        """
        while True:
            found: Mapping[TopicPartition, Sequence[Any]]
            found = await self._consumer.getmany(*reading, timeout_ms=WAIT_MS, max_records=1000)
            now = {place: await self._consumer.position(place) for place in reading}
            if now != {place: positions.get(place) for place in reading}:
                positions.update(now)
                return found

    async def find_offsets(self, partitions: Iterable[int], at: datetime) -> dict[int, int]:
        """Find the first offset from a time on for each partition; one without such records is left out."""
        times = {TopicPartition(self._topic, number): int(at.timestamp() * 1000) for number in partitions}
        async with translate_errors(REQUEST_SECONDS, access=self._access):
            found = await self._consumer.offsets_for_times(times)
        return {place.partition: at.offset for place, at in found.items() if at is not None}

    async def get(self, partition: int, offset: int) -> Record | None:
        """Read one record; ``None`` if there is none at that offset."""
        first, after = self.bounds.get(partition, (0, 0))
        if not first <= offset < after:
            return None
        place = TopicPartition(self._topic, partition)
        self._consumer.seek(place, offset)
        async with translate_errors(REQUEST_SECONDS, access=self._access):
            while True:
                found = await self._consumer.getmany(place, timeout_ms=WAIT_MS, max_records=1)
                for raw in found.get(place, ()):
                    return read_raw(raw) if raw.offset == offset else None
                if await self._consumer.position(place) > offset:
                    return None


def choose_partition(key: bytes, partitions: int) -> int:
    """Choose the partition that a record with this key goes to, as all of Kafka's clients do."""
    chosen: int = DefaultPartitioner()(key, list(range(partitions)), [])
    return chosen


@asynccontextmanager
async def open_topic_log(connection: KafkaConnection, topic: str) -> AsyncIterator[TopicLog]:
    """Open a topic, by its full name, for reading; this and every reading raises ``KafkaDown``."""
    access, connection = connection.access("Read", topic), await connection.find_server()
    # Without a group, all partitions are assigned to it.
    consumer = AIOKafkaConsumer(
        topic,
        **connection.list_options(),
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        fetch_max_wait_ms=WAIT_MS,
        max_partition_fetch_bytes=4 * 1024 * 1024,
    )
    try:
        async with translate_errors(REQUEST_SECONDS, access=access):
            await consumer.start()
            places = sorted(consumer.assignment())
            first = await consumer.beginning_offsets(places)
            after = await consumer.end_offsets(places)
        bounds = {place.partition: (first[place], after[place]) for place in places}
        yield TopicLog(consumer, topic, bounds, access)
    finally:
        await stop_within(consumer.stop(), 1.0)
