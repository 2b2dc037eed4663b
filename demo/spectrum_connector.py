"""The connector between Spectrum and its topics, for the demo: it applies each export and acknowledges it."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final
from uuid import uuid4

from contracts.cloudevents.writing import write_attributes
from contracts.fields import write_time
from contracts.inbound import ErpAcknowledgement
from contracts.records import Outgoing, Record
from contracts.topics import TopicNames
from demo.spectrum import LineKey, LineRefusal, Spectrum, SpectrumJob, read_export, write_acknowledgement
from worker.kafka.connection import KafkaConnection
from worker.kafka.consumer import Consumer
from worker.kafka.producer import Appender

_EXPORTS: Final = "spectrum.exports"
_ACKNOWLEDGEMENTS: Final = "spectrum.acknowledgements"


class SpectrumConnector:
    """Reads exports, applies them to Spectrum, and acknowledges them."""

    def __init__(self, connection: KafkaConnection, topics: TopicNames) -> None:
        self._spectrum = Spectrum()
        self._topic = topics.full(_ACKNOWLEDGEMENTS)
        self._reader = Consumer(connection, f"spectrum-{uuid4()}", [topics.full(_EXPORTS)], start="earliest")
        self._appender = Appender(connection)
        self._refused_once: set[LineKey] = set()

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

    def read_amounts(self, company_code: str, job_number: str) -> Mapping[tuple[str, str], Decimal]:
        """Read original plus revisions of each phase and cost type."""
        amounts = self._spectrum.read_amounts(SpectrumJob(company_code, job_number))
        return {(key.phase_code, key.cost_type): Decimal(amount).scaleb(-2) for key, amount in amounts.items()}

    def refuse_once(self, phase_code: str, cost_type: str, description: str) -> None:
        """Refuse this line in the next export that has it, with an error description."""
        key = LineKey(phase_code, cost_type)
        self._spectrum.refusals[key] = LineRefusal("E", description, "Cost_Type")
        self._refused_once.add(key)

    async def _run(self) -> None:
        while True:
            for record in await self._reader.fetch_any(100, 0.1):
                await self._appender.append([self._apply(record)])

    def _apply(self, record: Record) -> Outgoing:
        export = read_export(json.loads(record.value or b""))
        steps = self._spectrum.apply(export)
        while True:
            try:
                next(steps)
            except StopIteration as ended:
                result = ended.value
                break
        for key in self._refused_once & result.refused.keys():
            self._refused_once.discard(key)
            del self._spectrum.refusals[key]
        now = write_time(datetime.now(UTC))
        return Outgoing(
            self._topic,
            record.key,
            json.dumps(write_acknowledgement(export, result, now)).encode(),
            write_attributes(ErpAcknowledgement.type, "spectrum", str(uuid4()), time=now),
        )
