"""The messages with which operators act on a budget. The inbox and the history keep them like any other message."""

from datetime import date, datetime
from typing import Final, Literal, NamedTuple
from uuid import uuid4

from contracts.budget_key import BudgetKey
from contracts.cloudevents.writing import SOURCE, write_attributes
from contracts.fields import write_time
from contracts.imports import ImportMode, ImportRequested
from contracts.inbound import BudgetRelease, BudgetReset, ErpAcknowledgement, ExportRetry, SnapshotRequest
from contracts.json_text import write_json
from contracts.outbound import BudgetStatus
from contracts.records import Outgoing, Place
from contracts.signature.signing import PrivateKey, sign_headers
from contracts.topics import SOURCES, TopicNames
from worker.kafka.connection import KafkaConnection
from worker.kafka.producer import Appender

OPERATOR_SOURCE: Final = f"{SOURCE}/operator"
"""The CloudEvents source of the messages that operators send."""

OperatorMessage = ExportRetry | SnapshotRequest | ImportRequested | BudgetRelease | BudgetReset | ErpAcknowledgement


def make_retry(key: BudgetKey, version: int, by: str, reason: str, effective_date: date | None) -> ExportRetry:
    """Make the message that sends the last export again; without a date to book under, the one given before stays."""
    return ExportRetry(
        **key._asdict(), budget_version=version, requested_by=by, reason=reason, effective_date=effective_date
    )


def make_snapshot_request(key: BudgetKey, by: str, reason: str) -> SnapshotRequest:
    """Make the message that asks for what Spectrum holds of a budget."""
    return SnapshotRequest(**key._asdict(), requested_by=by, reason=reason)


def make_import_request(
    key: BudgetKey, by: str, mode: ImportMode, currency: str, *, at: datetime, unlocked: bool
) -> ImportRequested:
    """Make the message that asks for a budget as Spectrum holds it."""
    return ImportRequested(
        **key._asdict(), requested_by=by, requested_at=at, mode=mode, budget_unlocked=unlocked, currency=currency
    )


def make_release(key: BudgetKey, version: int, by: str, reason: str, action: Literal["retry", "skip"]) -> BudgetRelease:
    """Make the message that ends the hold of a budget."""
    return BudgetRelease(**key._asdict(), budget_version=version, requested_by=by, reason=reason, action=action)


def make_reset(key: BudgetKey, version: int, by: str, reason: str) -> BudgetReset:
    """Make the message that releases the job of a budget."""
    return BudgetReset(**key._asdict(), budget_version=version, requested_by=by, reason=reason)


def make_acknowledgement(
    status: BudgetStatus, by: str, reason: str, answer: Literal["success", "failed"], at: str
) -> ErpAcknowledgement:
    """Make the acknowledgement of the current version's last export attempt that Spectrum did not send.

    Args:
        status: the current status of the budget; it has an export.
        by: who acknowledges it.
        reason: why.
        answer: whether Spectrum applied the export.
        at: when it was acknowledged, RFC 3339.

    Returns:
        The message.
    """
    return ErpAcknowledgement.model_validate(
        {
            "company_id": status.company_id,
            "project_id": status.project_id,
            "budget_id": status.budget_id,
            "budget_version": status.budget_version,
            "export_id": status.export_id,
            "attempt": status.attempt,
            "status": answer,
            "acknowledged_at": at,
            "message": f"acknowledged by {by}: {reason}",
        }
    )


class SentMessage(NamedTuple):
    """An operator's message as it was sent: its id, and the place that Kafka gave it, which nobody else can have."""

    id: str
    place: Place


def write_operator_message(
    message: OperatorMessage, message_id: str, topics: TopicNames, at: datetime, key: PrivateKey | None
) -> Outgoing:
    """Write the record of a message.

    Args:
        message: the message.
        message_id: the id under which history keeps it.
        topics: how the topics of this deployment are named.
        at: when it is sent.
        key: what it is signed with; ``None`` leaves it unsigned.
    """
    topic = next(name for name, models in SOURCES.items() if type(message) in models)
    budget, data = str(message.key), write_json(message.model_dump(mode="json"))
    headers = write_attributes(message.type, OPERATOR_SOURCE, message_id, time=write_time(at), subject=budget)
    signed = sign_headers(headers, data, key) if key else headers
    return Outgoing(topics.full(topic), budget.encode(), data, signed)


async def send_operator_message(
    kafka: KafkaConnection, topics: TopicNames, message: OperatorMessage, at: datetime, key: PrivateKey | None
) -> SentMessage:
    """Append a message to its source topic.

    Args:
        kafka: how Kafka is reached.
        topics: how the topics of this deployment are named.
        message: the message.
        at: when it is sent.
        key: what it is signed with; ``None`` leaves it unsigned.

    Raises:
        KafkaDown: it may or may not have been appended.
    """
    message_id = str(uuid4())
    appender = Appender(kafka)
    try:
        place = await appender.append_one(write_operator_message(message, message_id, topics, at, key))
    finally:
        await appender.close(2.0)
    return SentMessage(message_id, place)
