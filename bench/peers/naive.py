"""The program that one would write first: read, decide, store, send and wait, commit; one message at a time."""

import asyncio
import signal

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from bench.peers.carrier import BOOTSTRAP, PRODUCER, SOURCES, TOPICS, open_carriers
from worker.kafka.fetching import read_raw


async def main() -> None:
    """Carry everything until SIGTERM."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asyncio.current_task().cancel)  # type: ignore[union-attr]
    consumer = AIOKafkaConsumer(
        *SOURCES,
        bootstrap_servers=BOOTSTRAP,
        group_id=f"{TOPICS.prefix}naive",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    producer = AIOKafkaProducer(bootstrap_servers=BOOTSTRAP, **PRODUCER)
    async with open_carriers() as carriers, consumer, producer:
        async for raw in consumer:
            for sent in await carriers[raw.partition].decide(read_raw(raw)):
                await producer.send_and_wait(sent.topic, sent.value, sent.key, headers=list(sent.headers))
            await consumer.commit()


if __name__ == "__main__":
    asyncio.run(main())
