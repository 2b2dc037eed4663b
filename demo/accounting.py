"""Spectrum around its Kafka topics, for the demo: it works each export as it comes and acknowledges it."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final
from uuid import uuid4

from contracts.cloudevents.writing import write_attributes
from contracts.fields import read_time, write_time
from contracts.inbound import ErpAcknowledgement
from contracts.records import Outgoing, Record
from demo.spectrum import Job, LineKey, Refusal, Spectrum, read_order, write_acknowledgement
from worker.kafka.connection import KafkaConnection
from worker.kafka.consumer import Consumer
from worker.kafka.producer import Appender

_EXPORTS: Final = "spectrum.exports"
_ACKNOWLEDGEMENTS: Final = "spectrum.acknowledgements"


class SpectrumConnector:
    """Reads exports, lets Spectrum work them, and answers."""

    def __init__(self, connection: KafkaConnection, topic_prefix: str) -> None:
        self._spectrum = Spectrum()
        self._topic = topic_prefix + _ACKNOWLEDGEMENTS
        self._reader = Consumer(connection, f"spectrum-{uuid4()}", [topic_prefix + _EXPORTS], start="earliest")
        self._appender = Appender(connection)
        self._refuse_once: set[LineKey] = set()

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Work beside whatever is inside."""
        await self._reader.start()
        task = asyncio.create_task(self._work())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self._reader.close(2.0)
            await self._appender.close(2.0)

    def read_amounts(self, company_code: str, job_number: str) -> Mapping[tuple[str, str], Decimal]:
        """Read original plus revisions of each phase and cost type."""
        amounts = self._spectrum.read_amounts(Job(company_code, job_number))
        return {(key.phase_code, key.cost_type): Decimal(amount).scaleb(-2) for key, amount in amounts.items()}

    def refuse_once(self, phase_code: str, cost_type: str, description: str) -> None:
        """Let the next export that has this line fail at it."""
        key = LineKey(phase_code, cost_type)
        self._spectrum.refusals[key] = Refusal("E", description, "Cost_Type")
        self._refuse_once.add(key)

    async def _work(self) -> None:
        while True:
            for record in await self._reader.fetch_any(100, 0.1):
                await self._appender.append([self._answer(record)])

    def _answer(self, record: Record) -> Outgoing:
        headers = {name: value for name, value in record.headers if value is not None}
        order = read_order(json.loads(record.value or b""), read_time(headers["ce_time"].decode()))
        working = self._spectrum.work(order)
        while True:
            try:
                next(working)
            except StopIteration as ended:
                answer = ended.value
                break
        for key in self._refuse_once & answer.refused.keys():
            self._refuse_once.discard(key)
            del self._spectrum.refusals[key]
        now = write_time(datetime.now(UTC))
        return Outgoing(
            self._topic,
            record.key,
            json.dumps(write_acknowledgement(order, answer, now)).encode(),
            write_attributes(ErpAcknowledgement.type, "spectrum", str(uuid4()), time=now),
        )
