"""A plain loop of aiokafka at its best: all partitions at once, what is sent waited for together, one commit a fetch.

Its documentation recommends ``getmany`` and a commit by hand after a batch.
"""

import asyncio
import signal
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from bench.peers.carrier import BOOTSTRAP, PRODUCER, SOURCES, TOPICS, PartitionCarrier, open_carriers
from worker.kafka.fetching import read_raw


async def carry(carrier: PartitionCarrier, raws: Sequence[Any], producer: AIOKafkaProducer) -> None:
    """Carry what was fetched of one partition, in order; what is sent is waited for at the end."""
    sending = [
        await producer.send(sent.topic, sent.value, sent.key, headers=list(sent.headers))
        for raw in raws
        for sent in await carrier.decide(read_raw(raw))
    ]
    await asyncio.gather(*sending)


async def main() -> None:
    """Carry everything until SIGTERM."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asyncio.current_task().cancel)  # type: ignore[union-attr]
    consumer = AIOKafkaConsumer(
        *SOURCES,
        bootstrap_servers=BOOTSTRAP,
        group_id=f"{TOPICS.prefix}aiokafka",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    producer = AIOKafkaProducer(bootstrap_servers=BOOTSTRAP, **PRODUCER)
    async with open_carriers() as carriers, consumer, producer:
        while True:
            fetched = await consumer.getmany(timeout_ms=500, max_records=400)
            if fetched:
                await asyncio.gather(
                    *(carry(carriers[place.partition], raws, producer) for place, raws in fetched.items())
                )
                await consumer.commit()


if __name__ == "__main__":
    asyncio.run(main())
