"""The message of each act, made of what is known of the budget and of what somebody has filled in."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from contracts.drift import ChosenLine, DriftDecision
from contracts.fields import write_time
from contracts.imports import ImportMode
from contracts.inbound import InboundMessage
from desk.act_fields import Fields
from desk.preview import make_acceptance, make_rejection
from handlers.budget import Budget
from handlers.decision import describe_status
from handlers.drift import hash_drift
from worker.operator_messages import (
    make_acknowledgement,
    make_import_request,
    make_release,
    make_reset,
    make_retry,
    make_snapshot_request,
)


@dataclass(frozen=True, slots=True)
class Case:
    """On what somebody acts."""

    budget: Budget
    version: int
    """The current one or, before there is one, that of the latest message."""
    by: str
    at: datetime


Make = Callable[[Case, Fields], InboundMessage | None]
"""``None`` where there is nothing to do it to."""


def accept(case: Case, fields: Fields) -> InboundMessage | None:
    """Accept the current version, of exactly what is shown."""
    made = make_acceptance(case.budget, case.by, case.at)
    return made and made.model_copy(update={"effective_date": fields.effective_date})


def reject(case: Case, fields: Fields) -> InboundMessage | None:
    """Send the current version back."""
    return make_rejection(case.budget, case.by, case.at, fields.reason)


def decide_drift(decision: Literal["restate", "keep"]) -> Callable[[Case, Fields], InboundMessage | None]:
    """Restate the synced version, or keep what Spectrum holds."""

    def make(case: Case, fields: Fields) -> InboundMessage | None:
        found = hash_drift(case.budget.open_lines)
        differing = {line[:2] for line in case.budget.open_lines}
        # Without any of them, the message would be about all.
        if found is None or not differing.issuperset(fields.lines):
            return None
        return DriftDecision(
            **case.budget.key._asdict(),
            decision=decision,
            drift_hash=found,
            decided_by=case.by,
            decided_at=case.at,
            reason=fields.reason or None,
            effective_date=fields.effective_date,
            lines=tuple(ChosenLine(phase_code=phase, cost_type=cost_type) for phase, cost_type in fields.lines),
        )

    return make


def make_import(mode: ImportMode) -> Callable[[Case, Fields], InboundMessage]:
    """Ask for an import."""

    def make(case: Case, fields: Fields) -> InboundMessage:
        key, unlocked = case.budget.key, fields.unlocked
        return make_import_request(key, case.by, mode, fields.currency, at=case.at, unlocked=unlocked)

    return make


def retry(case: Case, fields: Fields) -> InboundMessage:
    """Send the last export again."""
    return make_retry(case.budget.key, case.version, case.by, fields.reason, fields.effective_date)


def release(action: Literal["retry", "skip"]) -> Callable[[Case, Fields], InboundMessage]:
    """End a hold."""
    return lambda case, fields: make_release(case.budget.key, case.version, case.by, fields.reason, action)


def reset(case: Case, fields: Fields) -> InboundMessage:
    """Release the job."""
    return make_reset(case.budget.key, case.version, case.by, fields.reason)


def read(case: Case, fields: Fields) -> InboundMessage:
    """Ask for a reading."""
    return make_snapshot_request(case.budget.key, case.by, fields.reason)


def acknowledge(answer: Literal["success", "failed"]) -> Callable[[Case, Fields], InboundMessage | None]:
    """Answer the last export in Spectrum's place."""

    def make(case: Case, fields: Fields) -> InboundMessage | None:
        status = describe_status(case.budget)
        if status is None or status.export_id is None:
            return None
        return make_acknowledgement(status, case.by, fields.reason, answer, write_time(case.at))

    return make
