"""faust-streaming: an agent for each source topic, with its partitions apart, at either of its two guarantees."""

import asyncio
import os
import sys
from typing import Any

import faust

from bench.peers.carrier import BOOTSTRAP, SOURCES, TOPICS, open_carriers
from contracts.records import Place, Record

GROUP = f"{TOPICS.prefix}faust"


class _App(faust.App):
    """Without tables it needs no folder."""

    def _create_directories(self) -> None:
        pass


def read_record(message: Any) -> Record:
    """Convert one of Faust's messages to a record."""
    headers = message.headers.items() if isinstance(message.headers, dict) else message.headers or ()
    place = Place(message.topic, message.partition, message.offset)
    return Record(place, int(message.timestamp * 1000), message.key, message.value, tuple(headers))


async def run(guarantee: str) -> None:
    """Carry everything until SIGTERM."""
    app: Any = _App(
        GROUP,
        broker=f"aiokafka://{BOOTSTRAP}",
        processing_guarantee=guarantee,
        consumer_auto_offset_reset="earliest",
        topic_disable_leader=True,
        web_enabled=False,
        store="memory://",
        stream_wait_empty=False,
        producer_max_batch_size=512 * 1024,
        producer_max_request_size=18 * 1024**2,
        broker_max_poll_records=500,
    )
    outputs = {name: app.topic(name, key_serializer="raw", value_serializer="raw") for name in TOPICS.outputs}
    async with open_carriers() as carriers:

        async def carry(stream: Any) -> None:
            async for event in stream.events():
                decided = await carriers[event.message.partition].decide(read_record(event.message))
                sending = [
                    await outputs[sent.topic].send(key=sent.key, value=sent.value, headers=list(sent.headers))
                    for sent in decided
                ]
                await asyncio.gather(*sending)

        for name in SOURCES:
            source = app.topic(name, key_serializer="raw", value_serializer="raw", allow_empty=True)
            app.agent(source, name=f"bench.{name}", isolated_partitions=True)(carry)
        worker = faust.Worker(app, loglevel="WARNING", redirect_stdouts=False, quiet=True)
        worker.spinner = None
        await worker.start()
        await worker.wait_until_stopped()


if __name__ == "__main__":
    os.environ.setdefault("F_LOGLEVEL", "WARNING")
    asyncio.run(run(sys.argv[1]))
