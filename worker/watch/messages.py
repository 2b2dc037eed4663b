"""What the watch sees: each record of a topic as the little of it that can be judged from outside.

It reads the contract alone. What cannot be read raises ``UnreadableError``, for the watch to count.
"""

from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from pydantic import BaseModel, ConfigDict, ValidationError

from contracts.cloudevents.message import Message
from contracts.cloudevents.reading import read_message
from contracts.inbound import ApprovalDecision, ErpAcknowledgement, ExportRetry
from contracts.records import Place, Record
from contracts.topics import SOURCES


class UnreadableError(Exception):
    """A record that is no message of the contract."""


class Accepted(NamedTuple):
    """An approver accepted a version."""

    version: int
    message: str
    """Its source and id."""
    at_ms: int


class Retried(NamedTuple):
    """An operator asked for another attempt."""

    version: int
    message: str
    at_ms: int


class Answered(NamedTuple):
    """Spectrum answered an attempt."""

    export_id: str
    attempt: int
    status: str
    at_ms: int


class Requested(NamedTuple):
    """The bridge asked for an approval."""

    version: int
    at_ms: int


class Refused(NamedTuple):
    """The bridge refused a request."""

    message: str
    at_ms: int


class Returned(NamedTuple):
    """The bridge gave a version back."""

    version: int
    at_ms: int


class Exported(NamedTuple):
    """The bridge sent an export."""

    version: int
    export_id: str
    attempt: int
    number: int
    at_ms: int
    place: str


class Shown(NamedTuple):
    """The bridge said where a budget stands."""

    version: int
    status: str
    since_ms: int


Sight = Accepted | Retried | Answered | Requested | Refused | Returned | Exported | Shown


class Seen(NamedTuple):
    """One record: its type, whose it is, and what of it can be judged, if anything."""

    type: str
    budget: str
    sight: Sight | None


class _Sent(BaseModel):
    """What of our own messages is looked at; the rest is left unread."""

    model_config = ConfigDict(frozen=True)

    company_id: int
    project_id: int
    budget_id: int
    budget_version: int


class _Export(_Sent):
    export_id: UUID
    attempt: int
    export_number: int


class _Refusal(_Sent):
    message_source: str
    message_id: str


class _Status(_Sent):
    status: str
    since: datetime


_SENT: Final[dict[str, type[_Sent]]] = {
    "approval.requested.v1": _Sent,
    "spectrum.export.v1": _Export,
    "spectrum.resync.v1": _Export,
    "budget.returned.v1": _Sent,
    "request.refused.v1": _Refusal,
    "budget.status.v1": _Status,
}


def see(topic: str, record: Record) -> Seen:
    """See a record of a topic, which is named without prefix; raises ``UnreadableError``."""
    return _see_input(topic, record) if topic in SOURCES else _see_output(record)


def _see_input(topic: str, record: Record) -> Seen:
    message = read_message(topic, record)
    if not isinstance(message, Message):
        raise UnreadableError(message.detail)
    body, at_ms = message.body, record.timestamp_ms
    name = _name(message.source, message.id)
    sight: Sight | None = None
    if isinstance(body, ApprovalDecision) and body.decision == "accept":
        sight = Accepted(body.budget_version, name, at_ms)
    elif isinstance(body, ExportRetry):
        sight = Retried(body.budget_version, name, at_ms)
    elif isinstance(body, ErpAcknowledgement):
        sight = Answered(str(body.export_id), body.attempt, body.status, at_ms)
    return Seen(body.type, str(body.key), sight)


def _see_output(record: Record) -> Seen:
    kind = (dict(record.headers).get("ce_type") or b"").decode(errors="replace")
    if kind not in _SENT:
        raise UnreadableError(f"{kind!r} is no type that the bridge sends there")
    try:
        sent = _SENT[kind].model_validate_json(record.value or b"")
    except ValidationError as error:
        raise UnreadableError(str(error)) from error
    sight = _judge_by(kind, sent, record)
    return Seen(kind, f"{sent.company_id}/{sent.project_id}/{sent.budget_id}", sight)


def _judge_by(kind: str, sent: _Sent, record: Record) -> Sight:
    version, at_ms = sent.budget_version, record.timestamp_ms
    if isinstance(sent, _Export):
        place = _tell_place(record.place)
        return Exported(version, str(sent.export_id), sent.attempt, sent.export_number, at_ms, place)
    if isinstance(sent, _Refusal):
        return Refused(_name(sent.message_source, sent.message_id), at_ms)
    if isinstance(sent, _Status):
        return Shown(version, sent.status, int(sent.since.timestamp() * 1000))
    return Requested(version, at_ms) if kind == "approval.requested.v1" else Returned(version, at_ms)


def _name(source: str, message_id: str) -> str:
    return f"{source} {message_id}"


def _tell_place(place: Place) -> str:
    return f"{place.topic}/{place.partition}/{place.offset}"
