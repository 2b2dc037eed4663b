"""Reduces each record of a topic to the little that the watch can check from outside.

It reads the contract alone. A record that cannot be read raises ``UnreadableError``, for the watch to count.
"""

import hashlib
from datetime import datetime
from typing import Annotated, Final, NamedTuple
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contracts.cloudevents.message import Message
from contracts.cloudevents.reading import read_message
from contracts.drift import DriftDecision
from contracts.erp_snapshot import ErpSnapshot
from contracts.inbound import ApprovalDecision, ErpAcknowledgement, ExportRetry
from contracts.records import Place, Record
from contracts.stubs import cut_to_fit
from contracts.topics import SOURCES
from worker.watch.observations import (
    Observation,
    ObservedAnswer,
    ObservedDecision,
    ObservedExport,
    ObservedReading,
    ObservedRefusal,
    ObservedRequest,
    ObservedRestate,
    ObservedRetry,
    ObservedReturn,
    ObservedStatus,
)

MAX_NAME: Final = 100
"""Longest name of a message that is kept as it is; a longer one is cut and marked with a digest.

Ids and sources can have 1,000 bytes each (``contracts``), and the watch keeps the name of each decision.
"""


class UnreadableError(Exception):
    """The record is not a message of the contract."""


class ObservedRecord(NamedTuple):
    """One record: its type, its budget, and the observation, if there is anything to check."""

    type: str
    budget: str
    observation: Observation | None


_Id = Annotated[int, Field(ge=0, lt=2**63)]


class _Output(BaseModel):
    """The fields of our own messages that are read; the others are ignored."""

    model_config = ConfigDict(frozen=True)

    company_id: _Id
    project_id: _Id
    budget_id: _Id


class _VersionOutput(_Output):
    budget_version: _Id


class _ExportOutput(_VersionOutput):
    export_id: UUID
    attempt: _Id
    export_number: _Id
    restatement: _Id = 0


class _RefusalOutput(_Output):
    message_type: str
    message_source: str
    message_id: str
    message_topic: str | None = None
    message_partition: int | None = None
    message_offset: int | None = None

    @property
    def place(self) -> str:
        """Where the message is; empty where that is not said."""
        if self.message_topic is None or self.message_partition is None or self.message_offset is None:
            return ""
        return _write_place(Place(self.message_topic, self.message_partition, self.message_offset))


class _StatusOutput(_VersionOutput):
    status: Annotated[str, Field(max_length=100)]
    since: datetime


_OUTPUTS: Final[dict[str, type[_Output]]] = {
    "approval.requested.v1": _VersionOutput,
    "spectrum.export.v1": _ExportOutput,
    "spectrum.resync.v1": _ExportOutput,
    "spectrum.snapshot_requested.v1": _Output,
    "erp.drift.v1": _Output,
    "budget.import_ready.v1": _Output,
    "budget.import_ended.v1": _Output,
    "budget.returned.v1": _VersionOutput,
    "request.refused.v1": _RefusalOutput,
    "budget.status.v1": _StatusOutput,
}


def observe(topic: str, record: Record) -> ObservedRecord:
    """Reduce a record to what can be checked.

    Args:
        topic: its topic, without the deployment's prefix.
        record: the record.

    Raises:
        UnreadableError: it is not a message of the contract.
    """
    return _observe_input(topic, record) if topic in SOURCES else _observe_output(record)


def _observe_input(topic: str, record: Record) -> ObservedRecord:
    # Cut as the intake does, so that both consider the same records unreadable.
    message = read_message(topic, cut_to_fit(record))
    if not isinstance(message, Message):
        raise UnreadableError(message.detail)
    body, at_ms = message.body, record.timestamp_ms
    name, place = name_message(body.type, message.source, message.id), _write_place(record.place)
    observation: Observation | None = None
    if isinstance(body, ApprovalDecision):
        observation = ObservedDecision(body.budget_version, body.decision, name, at_ms, place)
    elif isinstance(body, DriftDecision) and body.decision == "restate":
        observation = ObservedRestate(name, at_ms, place)
    elif isinstance(body, ExportRetry):
        observation = ObservedRetry(body.budget_version, name, at_ms, place)
    elif isinstance(body, ErpSnapshot) and body.last_begun and body.last_begun.whole:
        observation = ObservedReading(str(body.last_begun.export_id), at_ms)
    elif isinstance(body, ErpAcknowledgement):
        observation = ObservedAnswer(str(body.export_id), body.attempt, body.status, at_ms)
    return ObservedRecord(body.type, str(body.key), observation)


def _observe_output(record: Record) -> ObservedRecord:
    kind = (dict(record.headers).get("ce_type") or b"").decode(errors="replace")
    if kind not in _OUTPUTS:
        raise UnreadableError(f"{kind[:MAX_NAME]!r} is no type that the bridge sends there")
    try:
        output = _OUTPUTS[kind].model_validate_json(record.value or b"")
    except ValidationError as error:
        raise UnreadableError(str(error)) from error
    budget = f"{output.company_id}/{output.project_id}/{output.budget_id}"
    return ObservedRecord(kind, budget, _reduce_output(kind, output, record))


def _reduce_output(kind: str, output: _Output, record: Record) -> Observation | None:
    at_ms = record.timestamp_ms
    if isinstance(output, _RefusalOutput):
        name = name_message(output.message_type, output.message_source, output.message_id)
        return ObservedRefusal(name, at_ms, output.place)
    if not isinstance(output, _VersionOutput):
        return None
    version = output.budget_version
    if isinstance(output, _ExportOutput):
        place = _write_place(record.place)
        number, restatement = output.export_number, output.restatement
        return ObservedExport(version, str(output.export_id), output.attempt, number, at_ms, place, restatement)
    if isinstance(output, _StatusOutput):
        return ObservedStatus(version, output.status, int(output.since.timestamp() * 1000))
    return ObservedRequest(version, at_ms) if kind == "approval.requested.v1" else ObservedReturn(version, at_ms)


def name_message(kind: str, source: str, message_id: str) -> str:
    """Name a message by its type, source and id; a long name is cut to ``MAX_NAME`` characters and gets a digest."""
    name = f"{kind} {source} {message_id}"
    if len(name) <= MAX_NAME:
        return name
    digest = hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=12).hexdigest()
    return f"{name[:MAX_NAME]}… [{digest}]"


def _write_place(place: Place) -> str:
    return f"{place.topic}/{place.partition}/{place.offset}"
