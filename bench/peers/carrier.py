"""What every peer has in common: the real core and the real tables, one transaction for each message.

The tables want a record's place in one log. A peer has no inbox, so the place is the order in which it reads one
partition of all source topics; the same project is on the same partition of each.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import uuid4

from contracts.inbox import copy_to_inbox, open_arrival
from contracts.records import Outgoing, Place, Record
from contracts.topics import TopicNames
from outbox.database import Connection, connect
from outbox.position import Position, start_position
from outbox.store import store_batch

BOOTSTRAP = os.environ.get("KAFKA_BOOTSTRAP", "")
TOPICS = TopicNames(os.environ.get("TOPIC_PREFIX", ""))
SOURCES = TOPICS.sources
PARTITIONS = int(os.environ.get("BENCH_PARTITIONS", "1"))
PRODUCER: dict[str, Any] = {"enable_idempotence": True, "max_batch_size": 512 * 1024, "max_request_size": 18 * 1024**2}
"""As large as the worker's, so that no peer is slow because of a default."""


class PartitionCarrier:
    """Decides the messages of one partition, one after the other."""

    def __init__(self, session: Connection, position: Position) -> None:
        self._session = session
        self._position = position
        self._one_at_a_time = asyncio.Lock()

    async def decide(self, record: Record) -> list[Outgoing]:
        """Decide one message and store everything in one transaction; returns what is to be sent."""
        async with self._one_at_a_time:
            copy = copy_to_inbox(record, TOPICS.inbox)
            place = Place(copy.topic, self._position.inbox_partition, self._position.next_offset)
            inbox = Record(place, record.timestamp_ms, copy.key, copy.value, copy.headers)
            arrival = replace(open_arrival(inbox, TOPICS), original=record)
            self._position, decided = await store_batch(self._session, self._position, [arrival], TOPICS)
        return [row.record for row in decided.rows]


@asynccontextmanager
async def open_carriers() -> AsyncIterator[list[PartitionCarrier]]:
    """Open a session for each partition, so that a peer that can do several things at once does."""
    sessions = [await connect(os.environ["DATABASE_URL"]) for _ in range(PARTITIONS)]
    try:
        yield [
            PartitionCarrier(session, await start_position(session, number, 0, uuid4()))
            for number, session in enumerate(sessions)
        ]
    finally:
        for session in sessions:
            await session.close()
