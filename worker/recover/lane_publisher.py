"""Publishes for a lane while no worker runs, through the lane's own producer, so that any other one is fenced."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from contracts.records import Outgoing
from outbox.backlog import read_backlog
from outbox.database import open_session
from worker.kafka.group_offsets import GroupOffset
from worker.kafka.producer import Publisher
from worker.pipeline.lane_check import sign_offset
from worker.pipeline.lane_store import name_producer
from worker.pipeline.publication import PUBLISH_SECONDS
from worker.recover.repair import RecoveryInputs

_CLOSE_SECONDS: Final = 2.0


class LanePublisher:
    """The only producer of one lane, once it is open."""

    def __init__(self, inputs: RecoveryInputs, number: int, producer: Publisher) -> None:
        self._inputs = inputs
        self._number = number
        self._producer = producer

    async def publish(self, offset: int, records: Sequence[Outgoing] = (), mark: str = "") -> None:
        """Publish records and the lane's offset in one transaction.

        Args:
            offset: the offset of the inbox partition to commit for the group.
            records: what to publish, in order.
            mark: what was just done with the lane, for the offset's metadata.

        Raises:
            LaneLost: it is unknown whether the transaction was committed, or another producer has fenced this one.
            MessageTooLarge: a topic does not accept a record of this size; nothing was published.
        """
        signed = GroupOffset(offset, sign_offset(self._inputs.deployment_id, mark))
        await self._producer.publish(signed, records, within=PUBLISH_SECONDS)

    async def publish_backlog(self, start: int, stop: int) -> None:
        """Publish from the outbox, piece by piece, what a range of inbox records caused.

        Args:
            start: the first inbox offset.
            stop: the inbox offset after the last.

        Raises:
            LaneLost: as for ``publish``.
        """
        async with open_session(self._inputs.deployment.database_url) as connection:
            async for following, rows in read_backlog(connection, self._number, start, stop):
                await self.publish(following, [row.record for row in rows])


@asynccontextmanager
async def open_lane_publisher(inputs: RecoveryInputs, number: int) -> AsyncIterator[LanePublisher]:
    """Become the only producer of a lane; this ends a transaction that an earlier producer left open.

    Args:
        inputs: what every repair is planned from.
        number: the lane's inbox partition.

    Raises:
        KafkaDown: Kafka does not answer.
    """
    deployment = inputs.deployment
    group_id, place = deployment.group_id, (deployment.topics.inbox, number)
    producer = Publisher(deployment.kafka, name_producer(group_id, *place), group_id, place)
    try:
        await producer.start()
        yield LanePublisher(inputs, number, producer)
    finally:
        await producer.close(_CLOSE_SECONDS)
