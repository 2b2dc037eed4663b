"""The protocols by which a lane uses Kafka and Postgres, so that its error branches can be tested without servers."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol
from uuid import UUID

from contracts.inbox import Arrival
from contracts.records import Outgoing, Record
from outbox.backlog import StoredRow
from outbox.batch import DecidedBatch
from outbox.identity import Identity
from outbox.position import Position
from outbox.rules import RulesVersion
from outbox.store import OnDecided
from worker.kafka.group_offsets import GroupOffset, Partition


class InboxReader(Protocol):
    """The inbox, read as a member of the lanes' group: ``worker.kafka.consumer.Consumer``."""

    async def fetch(self, partition: Partition, at_most: int, within: float) -> list[Record]:
        """Fetch up to ``at_most`` records of a partition, waiting up to ``within`` seconds; raises ``KafkaDown``."""

    async def seek(self, partition: Partition, offset: int) -> None:
        """Continue reading at an offset; raises ``KafkaDown``."""

    async def bounds(self, partition: Partition) -> tuple[int, int]:
        """Read the first offset and the one after the last; raises ``KafkaDown``."""

    def pause(self, partition: Partition) -> None:
        """Return nothing until the next seek."""

    def count_waiting(self, partition: Partition, offset: int) -> int:
        """Count the records from an offset on, as far as is known without asking Kafka."""


class TransactionalPublisher(Protocol):
    """The lane's transactional producer: ``worker.kafka.producer.Publisher``."""

    async def start(self) -> None:
        """Become the lane's only producer; raises ``KafkaDown``."""

    async def publish(self, offset: GroupOffset, records: Sequence[Outgoing], *, within: float) -> None:
        """Publish records and the lane's offset in one transaction, each step of it within some seconds.

        Raises:
            LaneLost: the outcome is unknown, or the producer is fenced.
            MessageTooLarge: a topic does not take a record of this size; nothing was published.
        """

    async def begin(self, offset: GroupOffset, *, within: float) -> None:
        """Begin a transaction with the lane's offset; raises ``LaneLost``."""

    async def send(self, records: Sequence[Outgoing], *, within: float) -> None:
        """Send what belongs to it, invisible until ``commit``; raises ``LaneLost`` or ``MessageTooLarge``."""

    async def commit(self, *, within: float) -> None:
        """Make visible what was sent; raises ``LaneLost``."""

    async def abort(self, *, within: float) -> None:
        """Drop what was sent; raises ``LaneLost``."""

    async def close(self, within: float) -> None:
        """Close it, if that can be done in ``within`` seconds."""


class LaneStore(Protocol):
    """A session of the lane with the database: ``worker.pipeline.lane_store.PostgresLaneStore``.

    Every method raises ``DatabaseDown``, and the writing ones ``PositionLost``.
    """

    async def take_position(self, owner: UUID) -> Position | None:
        """Become the owner of the position; ``None`` if the lane is new."""

    async def start_position(self, next_offset: int, owner: UUID) -> Position:
        """Write the position of a new lane."""

    async def read_rules(self) -> RulesVersion:
        """Read which version of the rules is in force; raises ``RulesUnavailable``, as storing a batch does."""

    def read_backlog(self, start: int, stop: int) -> AsyncIterator[tuple[int, list[StoredRow]]]:
        """Read in pieces what the records from ``start`` to below ``stop`` caused, for publishing."""

    def split_batch(self, arrivals: Sequence[Arrival]) -> AsyncIterator[Sequence[Arrival]]:
        """Split a batch into parts that one transaction has time for, each as of what is stored when asked for."""

    async def store_batch(
        self, position: Position, arrivals: Sequence[Arrival], failing: frozenset[Identity], on_decided: OnDecided
    ) -> tuple[Position, DecidedBatch]:
        """Decide a batch and store the result, in one transaction; ``on_decided`` is called before it is written.

        Messages in ``failing``, on which deciding failed, are held instead.
        """


class LanePorts(Protocol):
    """Creates the other ports of a lane: ``worker.pipeline.lane_store.LaneConnections``."""

    def make_publisher(self, partition: Partition) -> TransactionalPublisher:
        """Create a producer for the lane; it is not started yet."""

    def open_store(self, inbox_partition: int) -> AbstractAsyncContextManager[LaneStore]:
        """Open a session with the database; raises ``DatabaseDown``."""

    async def read_offset(self, partition: Partition) -> GroupOffset | None:
        """Read what the group has committed for the lane; raises ``KafkaDown``."""
