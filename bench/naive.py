"""The first yardstick: the program that one would otherwise write.

One message at a time: parse, one transaction with the same tables, publish and wait, commit.
It decides by the same core, so that only the way of carrying differs; it reads the source topics directly.
"""

import asyncio
import os
import signal
from dataclasses import replace
from itertools import count
from pathlib import Path
from uuid import uuid4

from contracts.inbox import copy_to_inbox, open_arrival
from contracts.records import Place, Record
from contracts.topics import TopicNames
from outbox.database import connect
from outbox.position import start_position
from outbox.rules import put_in_force
from outbox.store import store_batch
from worker.kafka.connection import KafkaConnection
from worker.kafka.consumer import Consumer
from worker.kafka.group_offsets import GroupOffset
from worker.kafka.producer import Appender
from worker.rules_files import read_rules


async def main() -> None:
    """Carry everything until SIGTERM."""
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    kafka, topics = KafkaConnection(os.environ["KAFKA_BOOTSTRAP"]), TopicNames(os.environ["TOPIC_PREFIX"])
    session = await connect(os.environ["DATABASE_URL"])
    await put_in_force(session, read_rules(Path(os.environ["RULES_DIR"])), "bench", "the yardstick")
    position = await start_position(session, 0, 0, uuid4())
    reader = Consumer(kafka, f"{topics.prefix}naive", topics.sources, start="earliest")
    appender = Appender(kafka)
    await reader.start()
    places = count()
    while not stopping.is_set():
        for record in await reader.fetch_any(500, 0.2):
            # The tables want the record's place in one log; here it is the order of reading.
            copy = copy_to_inbox(record, topics.inbox)
            place = Place(copy.topic, 0, next(places))
            inbox = Record(place, record.timestamp_ms, copy.key, copy.value, copy.headers)
            arrival = replace(open_arrival(inbox, topics), original=record)
            position, decided = await store_batch(session, position, [arrival], topics)
            for row in decided.rows:
                await appender.append([row.record])
            await reader.commit(
                {(record.place.topic, record.place.partition): GroupOffset(record.place.offset + 1, "")}
            )
    await reader.close(1.0)
    await appender.close(1.0)
    await session.close()


if __name__ == "__main__":
    asyncio.run(main())
