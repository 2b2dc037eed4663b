"""What the watch observes: each record of a topic, reduced to the little that can be checked from outside.

It reads the contract alone. A record that cannot be read raises ``UnreadableError``, for the watch to count.
"""

import hashlib
from datetime import datetime
from typing import Annotated, Any, Final, NamedTuple
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contracts.cloudevents.message import Message
from contracts.cloudevents.reading import read_message
from contracts.inbound import ApprovalDecision, ErpAcknowledgement, ExportRetry
from contracts.records import Place, Record
from contracts.stubs import cut_to_fit
from contracts.topics import SOURCES

MAX_NAME: Final = 100
"""Longest name of a message that is kept as it is; a longer one is cut and marked with a digest.

Ids and sources can have 1,000 bytes each (``contracts``), and the watch keeps the name of each decision.
"""


class UnreadableError(Exception):
    """The record is no message of the contract."""


class ObservedDecision(NamedTuple):
    """An approver accepted or rejected a version."""

    version: int
    decision: str
    """``accept`` or ``reject``."""
    message: str
    """Its type, source and id."""
    at_ms: int

    @property
    def id(self) -> str:
        """A repeat of a message adds nothing."""
        return self.message


class ObservedRetry(NamedTuple):
    """An operator asked for another attempt."""

    version: int
    message: str
    at_ms: int

    @property
    def id(self) -> str:
        """A repeat of a message adds nothing."""
        return self.message


class ObservedAnswer(NamedTuple):
    """Spectrum answered an attempt."""

    export_id: str
    attempt: int
    status: str
    at_ms: int

    @property
    def id(self) -> str:
        """A repeat of the same answer adds nothing."""
        return f"{self.export_id}/{self.attempt}/{self.status}"


class ObservedRequest(NamedTuple):
    """The bridge asked for an approval."""

    version: int
    at_ms: int

    @property
    def id(self) -> str:
        """The latest request for a version counts."""
        return str(self.version)


class ObservedRefusal(NamedTuple):
    """The bridge refused a message."""

    message: str
    at_ms: int

    @property
    def id(self) -> str:
        """One refusal of a message is enough."""
        return self.message


class ObservedReturn(NamedTuple):
    """The bridge returned a version to the project side."""

    version: int
    at_ms: int

    @property
    def id(self) -> str:
        """The latest return of a version counts."""
        return str(self.version)


class ObservedExport(NamedTuple):
    """The bridge sent an export."""

    version: int
    export_id: str
    attempt: int
    number: int
    at_ms: int
    place: str

    @property
    def id(self) -> str:
        """Each record of the topic is an export of its own, so that a repeat is seen."""
        return self.place


class ObservedStatus(NamedTuple):
    """The bridge reported the status of a budget."""

    version: int
    status: str
    at_ms: int
    """Since when."""

    @property
    def id(self) -> str:
        """The last status counts."""
        return ""


class ForgottenUntil(NamedTuple):
    """The watch itself dropped observations of this budget, the last of which was made then."""

    at_ms: int

    @property
    def id(self) -> str:
        """There is one."""
        return ""


Observation = (
    ObservedDecision
    | ObservedRetry
    | ObservedAnswer
    | ObservedRequest
    | ObservedRefusal
    | ObservedReturn
    | ObservedExport
    | ObservedStatus
    | ForgottenUntil
)
_KINDS: Final[dict[str, type[Any]]] = {
    "decision": ObservedDecision,
    "retry": ObservedRetry,
    "answer": ObservedAnswer,
    "request": ObservedRequest,
    "refusal": ObservedRefusal,
    "return": ObservedReturn,
    "export": ObservedExport,
    "status": ObservedStatus,
    "forgotten": ForgottenUntil,
}
_NAMES: Final = {kind: name for name, kind in _KINDS.items()}


class ObservedRecord(NamedTuple):
    """One record: its type, its budget, and what can be checked of it, if anything."""

    type: str
    budget: str
    observation: Observation | None


def write_key(budget: str, observation: Observation) -> str:
    """Write the key under which an observation is stored; it holds its budget, its kind and its id."""
    return f"{budget} {_NAMES[type(observation)]} {observation.id}"


def read_budget(key: str) -> str:
    """Read the budget in the key of a stored observation."""
    return key.partition(" ")[0]


def write_value(observation: Observation) -> list[object]:
    """Write an observation as JSON can hold it."""
    return [_NAMES[type(observation)], *observation]


def read_value(stored: list[object]) -> Observation:
    """Read a stored observation."""
    name, *fields = stored
    observation: Observation = _KINDS[str(name)](*fields)
    return observation


_Id = Annotated[int, Field(ge=0, lt=2**63)]


class _Output(BaseModel):
    """The fields of our own messages that are read; the others are ignored."""

    model_config = ConfigDict(frozen=True)

    company_id: _Id
    project_id: _Id
    budget_id: _Id
    budget_version: _Id


class _ExportOutput(_Output):
    export_id: UUID
    attempt: _Id
    export_number: _Id


class _RefusalOutput(_Output):
    message_type: str
    message_source: str
    message_id: str


class _StatusOutput(_Output):
    status: Annotated[str, Field(max_length=100)]
    since: datetime


_OUTPUTS: Final[dict[str, type[_Output]]] = {
    "approval.requested.v1": _Output,
    "spectrum.export.v1": _ExportOutput,
    "spectrum.resync.v1": _ExportOutput,
    "budget.returned.v1": _Output,
    "request.refused.v1": _RefusalOutput,
    "budget.status.v1": _StatusOutput,
}


def observe(topic: str, record: Record) -> ObservedRecord:
    """Reduce a record to what can be checked.

    Args:
        topic: its topic, without the deployment's prefix.
        record: the record.

    Raises:
        UnreadableError: it is no message of the contract.
    """
    return _observe_input(topic, record) if topic in SOURCES else _observe_output(record)


def _observe_input(topic: str, record: Record) -> ObservedRecord:
    # As the intake does, so that both take the same records for unreadable.
    message = read_message(topic, cut_to_fit(record))
    if not isinstance(message, Message):
        raise UnreadableError(message.detail)
    body, at_ms = message.body, record.timestamp_ms
    name = name_message(body.type, message.source, message.id)
    observation: Observation | None = None
    if isinstance(body, ApprovalDecision):
        observation = ObservedDecision(body.budget_version, body.decision, name, at_ms)
    elif isinstance(body, ExportRetry):
        observation = ObservedRetry(body.budget_version, name, at_ms)
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


def _reduce_output(kind: str, output: _Output, record: Record) -> Observation:
    version, at_ms = output.budget_version, record.timestamp_ms
    if isinstance(output, _ExportOutput):
        place = _write_place(record.place)
        return ObservedExport(version, str(output.export_id), output.attempt, output.export_number, at_ms, place)
    if isinstance(output, _RefusalOutput):
        return ObservedRefusal(name_message(output.message_type, output.message_source, output.message_id), at_ms)
    if isinstance(output, _StatusOutput):
        return ObservedStatus(version, output.status, int(output.since.timestamp() * 1000))
    return ObservedRequest(version, at_ms) if kind == "approval.requested.v1" else ObservedReturn(version, at_ms)


def name_message(kind: str, source: str, message_id: str) -> str:
    """Name a message by its type, source and id, in ``MAX_NAME`` characters and a digest at most."""
    name = f"{kind} {source} {message_id}"
    if len(name) <= MAX_NAME:
        return name
    digest = hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=12).hexdigest()
    return f"{name[:MAX_NAME]}… [{digest}]"


def _write_place(place: Place) -> str:
    return f"{place.topic}/{place.partition}/{place.offset}"
