"""What Spectrum's side answers to the messages of its topics: an acknowledgement, or the pages of a snapshot."""

import json
from collections.abc import Callable, Container, Mapping
from datetime import datetime
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

EXPORTS: Final = "spectrum.exports"
REQUESTS: Final = "spectrum.requests"
_ACKNOWLEDGEMENTS: Final = "spectrum.acknowledgements"
_SNAPSHOTS: Final = "spectrum.snapshots"


class SpectrumAnswers:
    """Applies exports to Spectrum and reads jobs, one message at a time.

    So no export of a job meets another one (rule 1), and nothing is being written while a job is read (rule 5).
    """

    def __init__(
        self,
        spectrum: Spectrum,
        topics: TopicNames,
        keys: Mapping[str, PrivateKey],
        now: Callable[[], datetime],
        silent_jobs: Container[str] = (),
    ) -> None:
        self._spectrum = spectrum
        self._topics = topics
        self._keys = keys
        self._now = now
        self._silent_jobs = silent_jobs

    def answer(self, record: Record | Outgoing) -> list[Outgoing]:
        """Answer a record of the topics with exports and requests; an export of a silent job gets no answer."""
        topic = record.topic if isinstance(record, Outgoing) else record.place.topic
        data = json.loads(record.value or b"")
        if self._topics.short(topic) == REQUESTS:
            return self._read(record.key, data)
        return [] if data["job_number"] in self._silent_jobs else [self._apply(record.key, data)]

    def _read(self, key: bytes | None, asked: Mapping[str, Any]) -> list[Outgoing]:
        """Read a job; the snapshot carries the budget key of the request, as a job is no key (rule 6)."""
        budget = (asked["company_id"], asked["project_id"], asked["budget_id"])
        job = SpectrumJob(asked["company_code"], asked["job_number"])
        now = write_time(self._now())
        pages = Reader().read(self._spectrum, budget, job, str(uuid4()), now, asked["request_id"])
        if self._spectrum.approvals and asked["purpose"] == "import":
            lines = (line for page in pages for line in page["lines"])
            self._spectrum.approvals.note_lines(job, (LineKey(line["phase_code"], line["cost_type"]) for line in lines))
        return [self._write(_SNAPSHOTS, ErpSnapshot.type, key, page) for page in pages]

    def _apply(self, key: bytes | None, data: Mapping[str, Any]) -> Outgoing:
        """Apply an export; somebody there takes care of what is refused, so that the next attempt succeeds."""
        export = read_export(data)
        result = finish(self._spectrum.apply(export))
        for line in result.refused:
            self._spectrum.refusals.pop(line, None)
        answer = write_acknowledgement(export, result, write_time(self._now()))
        return self._write(_ACKNOWLEDGEMENTS, ErpAcknowledgement.type, key, answer)

    def _write(self, topic: str, kind: str, key: bytes | None, data: Mapping[str, Any]) -> Outgoing:
        now, subject = write_time(self._now()), (key or b"").decode()
        headers = write_attributes(kind, "spectrum", str(uuid4()), time=now, subject=subject)
        value, signer = json.dumps(data).encode(), self._keys.get(kind)
        signed = sign_headers(headers, value, signer) if signer else headers
        return Outgoing(self._topics.full(topic), key, value, signed)
