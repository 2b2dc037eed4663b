"""The connector between Spectrum and its topics, for the demo.

It applies each export and acknowledges it, and reads a job when it is asked to. It does one thing at a time, so no
export of a job meets another one (rule 1), and nothing is being written while a job is read (rule 5). What it remembers
is in ``Spectrum``, in memory; a real one keeps it in a database (docs/adapters.md).
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

from contracts.cloudevents.writing import write_attributes
from contracts.erp_snapshot import ErpSnapshot
from contracts.fields import write_time
from contracts.inbound import ErpAcknowledgement
from contracts.records import Outgoing, Record
from contracts.signature.signing import PrivateKey, sign_headers
from contracts.topics import TopicNames
from demo.spectrum import LineKey, Spectrum, SpectrumJob, finish
from demo.spectrum_messages import read_export, write_acknowledgement
from demo.spectrum_snapshot import Reader
from worker.kafka.connection import KafkaConnection
from worker.kafka.consumer import Consumer
from worker.kafka.producer import Appender

_EXPORTS: Final = "spectrum.exports"
_REQUESTS: Final = "spectrum.requests"
_ACKNOWLEDGEMENTS: Final = "spectrum.acknowledgements"
_SNAPSHOTS: Final = "spectrum.snapshots"


class SpectrumConnector:
    """Applies exports to Spectrum and acknowledges them, and answers requests for snapshots."""

    def __init__(
        self, spectrum: Spectrum, connection: KafkaConnection, topics: TopicNames, keys: Mapping[str, PrivateKey]
    ) -> None:
        self._spectrum = spectrum
        self._topics = topics
        self._keys = keys
        read = [topics.full(name) for name in (_EXPORTS, _REQUESTS)]
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
        while True:
            for record in await self._reader.fetch_any(100, 0.1):
                is_export = self._topics.short(record.place.topic) == _EXPORTS
                await self._appender.append([self._apply(record)] if is_export else self._read(record))

    def _read(self, record: Record) -> list[Outgoing]:
        """Read a job; the snapshot carries the budget key of the request, as a job is no key (rule 6)."""
        asked = json.loads(record.value or b"")
        budget = (asked["company_id"], asked["project_id"], asked["budget_id"])
        job = SpectrumJob(asked["company_code"], asked["job_number"])
        now = write_time(datetime.now(UTC))
        pages = Reader().read(self._spectrum, budget, job, str(uuid4()), now, asked["request_id"])
        if self._spectrum.approvals and asked["purpose"] == "import":
            lines = (line for page in pages for line in page["lines"])
            self._spectrum.approvals.note_lines(job, (LineKey(line["phase_code"], line["cost_type"]) for line in lines))
        return [self._write(_SNAPSHOTS, ErpSnapshot.type, record.key, page) for page in pages]

    def _write(self, topic: str, kind: str, key: bytes | None, data: Mapping[str, Any]) -> Outgoing:
        now, subject = write_time(datetime.now(UTC)), (key or b"").decode()
        headers = write_attributes(kind, "spectrum", str(uuid4()), time=now, subject=subject)
        value, signer = json.dumps(data).encode(), self._keys.get(kind)
        signed = sign_headers(headers, value, signer) if signer else headers
        return Outgoing(self._topics.full(topic), key, value, signed)

    def _apply(self, record: Record) -> Outgoing:
        export = read_export(json.loads(record.value or b""))
        result = finish(self._spectrum.apply(export))
        answer = write_acknowledgement(export, result, write_time(datetime.now(UTC)))
        return self._write(_ACKNOWLEDGEMENTS, ErpAcknowledgement.type, record.key, answer)
