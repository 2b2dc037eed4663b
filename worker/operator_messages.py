"""What an operator says to a budget: a message like any other, so that it has a place in the log and stays for good."""

import json
from typing import Any, Final, Literal
from uuid import uuid4

from contracts.budget_key import BudgetKey
from contracts.cloudevents.writing import SOURCE, write_attributes
from contracts.inbound import BudgetRelease, BudgetReset, ErpAcknowledgement, ExportRetry
from contracts.outbound import BudgetStatus
from contracts.records import Outgoing
from contracts.topics import COMMANDS, TopicNames
from worker.kafka.connection import KafkaConnection
from worker.kafka.producer import Appender

_ACKNOWLEDGEMENTS: Final = "spectrum.acknowledgements"

Said = ExportRetry | BudgetRelease | BudgetReset | ErpAcknowledgement


def say_retry(key: BudgetKey, version: int, by: str, reason: str) -> ExportRetry:
    """Ask for the last export to be sent again."""
    return ExportRetry(**key._asdict(), budget_version=version, requested_by=by, reason=reason)


def say_release(key: BudgetKey, version: int, by: str, reason: str, action: Literal["retry", "skip"]) -> BudgetRelease:
    """Let a budget on hold go on."""
    return BudgetRelease(**key._asdict(), budget_version=version, requested_by=by, reason=reason, action=action)


def say_reset(key: BudgetKey, version: int, by: str, reason: str) -> BudgetReset:
    """Give the job of a budget free."""
    return BudgetReset(**key._asdict(), budget_version=version, requested_by=by, reason=reason)


def say_acknowledgement(
    status: BudgetStatus, by: str, reason: str, answer: Literal["success", "failed"], at: str
) -> ErpAcknowledgement:
    """Answer the last attempt of the current version's export in Spectrum's place."""
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
            "message": f"said by {by}: {reason}",
        }
    )


async def send_said(kafka: KafkaConnection, topics: TopicNames, said: Said) -> str:
    """Send what an operator says; gives the id under which history will have it."""
    message_id = str(uuid4())
    data: dict[str, Any] = said.model_dump(mode="json")
    headers = write_attributes(said.type, f"{SOURCE}/operator", message_id)
    topic = _ACKNOWLEDGEMENTS if isinstance(said, ErpAcknowledgement) else COMMANDS
    key = str(said.key).encode()
    appender = Appender(kafka)
    try:
        await appender.append([Outgoing(topics.full(topic), key, json.dumps(data).encode(), headers)])
    finally:
        await appender.close(2.0)
    return message_id
