"""FastStream on aiokafka, in two ways: ``concurrent`` and ``transactional``.

``concurrent`` is what its documentation recommends for throughput with an acknowledgement after processing: several
workers between which the partitions are divided. ``transactional`` puts what is sent and the offset of each message
into a Kafka transaction of its own; FastStream takes a ``transactional_id`` and leaves the transaction to the handler.
"""

import asyncio
import sys
from functools import partial
from typing import Any

from aiokafka import TopicPartition
from faststream import AckPolicy, FastStream
from faststream.kafka import KafkaBroker

from bench.peers.carrier import BOOTSTRAP, PARTITIONS, PRODUCER, SOURCES, TOPICS, PartitionCarrier, open_carriers
from contracts.records import Outgoing
from worker.kafka.fetching import read_raw

GROUP = f"{TOPICS.prefix}faststream"


async def publish(broker: Any, sent: Outgoing) -> None:
    """Publish one record; FastStream takes headers as text."""
    headers = {name: (value or b"").decode() for name, value in sent.headers}
    await broker.publish(sent.value, sent.topic, key=sent.key, headers=headers)


async def keep_message(message: Any) -> Any:
    """Give the handler the message as it is: our core reads the bytes."""
    return message


async def carry(message: Any, broker: Any, carriers: list[PartitionCarrier]) -> None:
    """Carry one message; FastStream commits its offset afterwards."""
    raw = message.raw_message
    await asyncio.gather(*(publish(broker, sent) for sent in await carriers[raw.partition].decide(read_raw(raw))))


async def carry_in_transaction(
    message: Any, broker: Any, carriers: list[PartitionCarrier], one_at_a_time: asyncio.Lock
) -> None:
    """Carry one message in a Kafka transaction with its offset; a producer has one transaction at a time."""
    raw = message.raw_message
    decided = await carriers[raw.partition].decide(read_raw(raw))
    # FastStream has no name for its producer's transactions.
    producer = broker.config.producer._producer.producer
    async with one_at_a_time, producer.transaction():
        await producer.send_offsets_to_transaction({TopicPartition(raw.topic, raw.partition): raw.offset + 1}, GROUP)
        await asyncio.gather(*(publish(broker, sent) for sent in decided))


def subscribe(broker: Any, topics: list[str], group: str, **options: Any) -> Any:
    """Make a decorator that subscribes a handler."""
    return broker.subscriber(*topics, group_id=group, auto_offset_reset="earliest", **options)


async def main(way: str) -> None:
    """Carry everything until SIGTERM."""
    transactional = way == "transactional"
    options: dict[str, Any] = {"transactional_id": GROUP, "retry_backoff_ms": 4} if transactional else {}
    broker: Any = KafkaBroker(BOOTSTRAP, **PRODUCER, **options, decoder=keep_message, apply_types=False, logger=None)
    async with open_carriers() as carriers:
        if transactional:
            handler = partial(carry_in_transaction, broker=broker, carriers=carriers, one_at_a_time=asyncio.Lock())
        else:
            handler = partial(carry, broker=broker, carriers=carriers)

        async def handle(message: Any) -> None:
            await handler(message)

        if transactional:
            subscribe(broker, SOURCES, GROUP, ack_policy=AckPolicy.MANUAL)(handle)
        else:
            for source in SOURCES:
                # Several workers of one subscriber may read one topic only.
                group = f"{GROUP}.{source}"
                subscribe(broker, [source], group, ack_policy=AckPolicy.NACK_ON_ERROR, max_workers=PARTITIONS)(handle)
        await FastStream(broker, logger=None).run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
