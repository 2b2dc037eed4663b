"""The second yardstick: the same I/O as the worker, and nothing else.

It has the same intake, batches, decoding and transactional publishing, and one upsert per key, but no history, no
decisions and no outbox: no design with these parts can be much faster than this. What it publishes for each message
has the number and the size of what the worker publishes.
"""

import asyncio
import json
import os
import signal
from collections.abc import Sequence
from functools import partial

from contracts.cloudevents.message import Message
from contracts.inbound import BudgetLocked
from contracts.inbox import Arrival, open_arrival
from contracts.records import Outgoing
from contracts.topics import TopicNames
from outbox.database import connect, transaction
from worker.app import collect_less_often
from worker.kafka.connection import KafkaConnection
from worker.kafka.consumer import Consumer
from worker.kafka.group_offsets import GroupOffset, Partition
from worker.kafka.producer import Appender, Publisher
from worker.pipeline.intake import Intake
from worker.pipeline.lane import BATCH_RECORDS, POLL_SECONDS
from worker.pipeline.lanes import BATCH_BYTES
from worker.pipeline.publication import PUBLISH_SECONDS
from worker.pipeline.source_topics import compare_sources, name_intake_group
from worker.resilience.breaker import make_breakers
from worker.telemetry.logs import configure_log

KAFKA = KafkaConnection(os.environ.get("KAFKA_BOOTSTRAP", ""))
TOPICS = TopicNames(os.environ.get("TOPIC_PREFIX", ""))
GROUP = f"{TOPICS.prefix}floor"
UPSERT = (
    "insert into floor (key, state) select * from unnest($1::text[], $2::json[]) "
    "on conflict (key) do update set state = excluded.state"
)
# As large as what the worker sends for a budget of twenty lines.
LINES = b"x" * 7000
STATUS = b"x" * 480
STATE = json.dumps("x" * 2500)


def answer(arrival: Arrival) -> list[Outgoing]:
    """Make what is published for one message."""
    message = arrival.message
    if not isinstance(message, Message):
        return []
    body = message.body
    key = str(body.key).encode()
    topic = "bridge.approval-requests" if isinstance(body, BudgetLocked) else "spectrum.exports"
    headers = arrival.original.headers
    return [
        Outgoing(TOPICS.full(topic), key, LINES, headers),
        Outgoing(TOPICS.full("bridge.status"), key, STATUS, headers),
    ]


async def carry(reader: Consumer, place: Partition, stopping: asyncio.Event) -> None:
    """Carry one partition."""
    publisher = Publisher(KAFKA, f"{GROUP}-{place[1]}", GROUP, place)
    await publisher.start()
    session = await connect(os.environ["DATABASE_URL"])
    await reader.seek(place, 0)
    publishing: asyncio.Task[None] | None = None
    while not stopping.is_set():
        records = await reader.fetch(place, BATCH_RECORDS, POLL_SECONDS)
        if not records:
            continue
        arrivals = [open_arrival(record, TOPICS) for record in records]
        outgoing = [record for arrival in arrivals for record in answer(arrival)]
        keys: Sequence[str] = sorted({(record.key or b"").decode() for record in outgoing})
        async with transaction(session):
            await session.execute(UPSERT, keys, [STATE] * len(keys))
        if publishing:
            await publishing
        offset = records[-1].place.offset + 1
        publishing = asyncio.create_task(
            publisher.publish(GroupOffset(offset, "floor"), outgoing, within=PUBLISH_SECONDS)
        )
    if publishing:
        await publishing
    await publisher.close(1.0)
    await session.close()


async def main() -> None:
    """Carry everything until SIGTERM."""
    collect_less_often()
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    session = await connect(os.environ["DATABASE_URL"])
    await session.execute("create table if not exists floor (key text primary key, state json not null)")
    await session.close()
    lanes: list[asyncio.Task[None]] = []

    async def start(places: list[Partition]) -> None:
        lanes.extend(asyncio.create_task(carry(reader, place, stopping)) for place in places)

    reader = Consumer(KAFKA, GROUP, [TOPICS.inbox], start="none", fetch_bytes=BATCH_BYTES, on_assigned=start)
    appender = Appender(KAFKA)
    log = configure_log("json")
    sources = Consumer(
        KAFKA,
        name_intake_group(GROUP),
        TOPICS.sources,
        start="earliest",
        on_assigned=lambda assigned: intake.note_assigned(assigned),  # noqa: PLW0108 - it is made below
    )
    check = partial(compare_sources, KAFKA, GROUP, TOPICS)
    intake = Intake(sources, appender, check, TOPICS, make_breakers(log).kafka, log)
    await sources.start()
    await reader.start()
    await intake.run(stopping)
    await asyncio.gather(*lanes)
    await reader.close(1.0)
    await sources.close(1.0)
    await appender.close(1.0)


if __name__ == "__main__":
    asyncio.run(main())
