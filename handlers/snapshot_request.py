"""Somebody asks the ERP side to read what Spectrum holds of a budget."""

from contracts.cloudevents.message import Message
from contracts.inbound import SnapshotRequest
from handlers.decision import Outcome, Situation, Step, Verdict
from handlers.requests import refuse
from handlers.snapshot_requests import ask_for_reading


def request_snapshot(step: Step, message: Message, request: SnapshotRequest, situation: Situation) -> Outcome:
    """Decide on a request for a snapshot."""
    budget, by = step.budget, request.requested_by
    if budget.spectrum_target is None:
        sentence = f"Nothing of budget {budget.key} was exported, or nothing since its reset: there is nothing to read."
        return refuse(step, message, by, "nothing_held", sentence)
    if budget.open_request:
        return Outcome(step, Verdict.DUPLICATE, "a request for a snapshot is open already")
    budget, sends = ask_for_reading(budget, by, situation)
    return Outcome(step.change(budget, situation.at, *sends), Verdict.APPLIED, f"asked by {by}: {request.reason}")
