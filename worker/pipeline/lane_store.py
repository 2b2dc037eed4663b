"""Connects a lane to Kafka and Postgres: what ``lane_ports`` describes, on real servers."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from contracts.inbox import Arrival
from contracts.topics import TopicNames
from outbox.backlog import StoredRow, read_backlog
from outbox.batch import DecidedBatch
from outbox.database import Connection, open_session
from outbox.identity import Identity
from outbox.position import Position, start_position, take_position
from outbox.rules import RulesVersion, read_rules_in_force
from outbox.splitting import split_batch
from outbox.store import OnDecided, store_batch
from worker.kafka.connection import KafkaConnection
from worker.kafka.group_offsets import GroupOffset, Partition, read_group_offsets
from worker.kafka.producer import Publisher

OFFSET_SECONDS: Final = 10.0
"""Longest that reading the group's offset may take."""


def name_producer(group_id: str, inbox_topic: str, partition: int) -> str:
    """Name the transactional producer of a lane; whoever starts a producer of this name fences all earlier ones."""
    return f"{group_id}-{inbox_topic}-{partition}"


@dataclass(frozen=True, slots=True)
class LaneConnections:
    """How the lanes of a worker reach Kafka and Postgres."""

    kafka: KafkaConnection
    database_url: str
    group_id: str
    topics: TopicNames

    def make_publisher(self, partition: Partition) -> Publisher:
        """Create a producer for a lane; it is not started yet."""
        return Publisher(self.kafka, name_producer(self.group_id, *partition), self.group_id, partition)

    @asynccontextmanager
    async def open_store(self, inbox_partition: int) -> AsyncIterator["PostgresLaneStore"]:
        """Open a session with the database; raises ``DatabaseDown``."""
        async with open_session(self.database_url) as connection:
            yield PostgresLaneStore(connection, inbox_partition, self.topics)

    async def read_offset(self, partition: Partition) -> GroupOffset | None:
        """Read what the group has committed for a lane; raises ``KafkaDown``."""
        offsets = await read_group_offsets(self.kafka, self.group_id, [partition], OFFSET_SECONDS)
        return offsets.get(partition)


@dataclass(frozen=True, slots=True)
class PostgresLaneStore:
    """One session of a lane; see ``LaneStore``."""

    connection: Connection
    inbox_partition: int
    topics: TopicNames

    async def take_position(self, owner: UUID) -> Position | None:
        """Become the owner of the position; ``None`` if the lane is new."""
        return await take_position(self.connection, self.inbox_partition, owner)

    async def start_position(self, next_offset: int, owner: UUID) -> Position:
        """Write the position of a new lane."""
        return await start_position(self.connection, self.inbox_partition, next_offset, owner)

    async def read_rules(self) -> RulesVersion:
        """Read which version of the rules is in force."""
        return await read_rules_in_force(self.connection)

    def read_backlog(self, start: int, stop: int) -> AsyncIterator[tuple[int, list[StoredRow]]]:
        """Read in pieces what the records from ``start`` to below ``stop`` caused, for publishing."""
        return read_backlog(self.connection, self.inbox_partition, start, stop)

    def split_batch(self, arrivals: Sequence[Arrival]) -> AsyncIterator[Sequence[Arrival]]:
        """Split a batch into parts that one transaction has time for, each as of what is stored when asked for."""
        return split_batch(self.connection, arrivals)

    async def store_batch(
        self, position: Position, arrivals: Sequence[Arrival], failing: frozenset[Identity], on_decided: OnDecided
    ) -> tuple[Position, DecidedBatch]:
        """Decide a batch and store the result, in one transaction; ``on_decided`` is called before it is written."""
        return await store_batch(self.connection, position, arrivals, self.topics, failing, on_decided)
