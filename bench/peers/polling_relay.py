"""The classic relay of an outbox: poll for rows, lock them, send them, delete them, commit.

``FOR UPDATE SKIP LOCKED`` lets several relays share the table, at the price of the order; here one runs, so the order
holds. The producer is idempotent. A relay that ends between sending and its commit sends those rows again.
"""

import asyncio
import os
import signal
from typing import Final

from aiokafka import AIOKafkaProducer

from bench.harness import open_session
from bench.peers.carrier import BOOTSTRAP, PRODUCER

ROWS: Final = 1000
POLL_SECONDS: Final = 0.01
TAKE: Final = """
with taken as (
    delete from relay_outbox
    where id in (select id from relay_outbox order by id limit $1 for update skip locked)
    returning id, event_id, topic, event_type, key, payload
)
select * from taken order by id
"""


async def main() -> None:
    """Relay until SIGTERM."""
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    producer = AIOKafkaProducer(bootstrap_servers=BOOTSTRAP, **PRODUCER)
    async with open_session(os.environ["DATABASE_URL"]) as session, producer:
        while not stopping.is_set():
            async with session.transaction():
                rows = await session.fetch(TAKE, ROWS)
                sending = [
                    await producer.send(
                        row["topic"],
                        row["payload"],
                        row["key"],
                        headers=[("id", str(row["event_id"]).encode()), ("type", (row["event_type"] or "").encode())],
                    )
                    for row in rows
                ]
                await asyncio.gather(*sending)
            if not rows:
                await asyncio.sleep(POLL_SECONDS)


if __name__ == "__main__":
    asyncio.run(main())
