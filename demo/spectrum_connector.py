"""The connector between Spectrum and its topics, for the demo.

What it remembers is in ``Spectrum``, in memory; a real one keeps it in a database (docs/adapters.md).
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Container, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from uuid import uuid4

from contracts.records import Outgoing
from contracts.signature.signing import PrivateKey
from contracts.topics import TopicNames
from demo.spectrum import Spectrum
from demo.spectrum_answers import EXPORTS, REQUESTS, SpectrumAnswers
from worker.kafka.connection import KafkaConnection
from worker.kafka.consumer import Consumer
from worker.kafka.producer import Appender


class SpectrumConnector:
    """Applies exports to Spectrum and acknowledges them, and answers requests for snapshots.

    Args:
        spectrum: what Spectrum holds.
        connection: where Kafka is.
        topics: how the topics are named.
        keys: who signs which type of message.
        silent_jobs: the jobs for whose exports it never answers.
        delay_seconds: how long each answer takes.
    """

    def __init__(
        self,
        spectrum: Spectrum,
        connection: KafkaConnection,
        topics: TopicNames,
        keys: Mapping[str, PrivateKey],
        silent_jobs: Container[str] = (),
        delay_seconds: float = 0.0,
    ) -> None:
        self._answers = SpectrumAnswers(spectrum, topics, keys, partial(datetime.now, UTC), silent_jobs)
        self._delay_seconds = delay_seconds
        read = [topics.full(name) for name in (EXPORTS, REQUESTS)]
        self._reader = Consumer(connection, f"spectrum-{uuid4()}", read, start="earliest")
        self._appender = Appender(connection)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run while the body of the ``with`` runs."""
        await self._reader.start()
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self._reader.close(2.0)
            await self._appender.close(2.0)

    async def _run(self) -> None:
        waiting: deque[tuple[float, list[Outgoing]]] = deque()
        while True:
            for record in await self._reader.fetch_any(100, 0.1):
                waiting.append((time.monotonic() + self._delay_seconds, self._answers.answer(record)))
            while waiting and waiting[0][0] <= time.monotonic():
                await self._appender.append(waiting.popleft()[1])
