"""An approver asks for an import of the budget from Spectrum."""

from contracts.cloudevents.message import Message
from contracts.imports import ImportRequested
from handlers.budget import Status
from handlers.decision import Outcome, Situation, Step, Verdict
from handlers.import_state import OpenImport
from handlers.requests import refuse, refuse_stranger
from handlers.rules import fold_user
from handlers.snapshot_requests import ask_for_reading


def request_import(step: Step, message: Message, request: ImportRequested, situation: Situation) -> Outcome:
    """Decide on a request for an import (rows I1 and I2)."""
    if refused := _refuse(step, message, request, situation):
        return refused
    budget, by = step.budget, request.requested_by
    due_at = situation.at + situation.rules.expiry
    asked = budget.change_imports(under_way=OpenImport(budget.next_request, by, request.mode, request.currency, due_at))
    budget, sends = ask_for_reading(asked, by, situation)
    return Outcome(step.change(budget, situation.at, *sends), Verdict.APPLIED, f"an import was asked for by {by}")


def _refuse(  # noqa: PLR0911 - one for each code
    step: Step, message: Message, request: ImportRequested, situation: Situation
) -> Outcome | None:
    """Find the first reason against an import."""
    budget, by, rules = step.budget, request.requested_by, situation.rules
    key, one = budget.key, step.budget.open_import
    if refused := refuse_stranger(step, message, by, situation):
        return refused
    if one and one.mode == request.mode and fold_user(one.requested_by) == fold_user(by):
        return Outcome(step, Verdict.DUPLICATE, "this import is under way already")
    if one:
        sentence = f"An import that {one.requested_by} asked for is under way; wait until it has ended."
        return refuse(step, message, by, "import_under_way", sentence)
    if key.project not in rules.jobs:
        sentence = f"Project {key.company_id}/{key.project_id} has no row in jobs.csv; accounting must add one."
        return refuse(step, message, by, "unmapped_project", sentence)
    if situation.job_taken_by is not None:
        sentence = f"Budget {situation.job_taken_by} of this project has the job."
        return refuse(step, message, by, "job_taken", sentence)
    if budget.spectrum_target:
        sentence = (
            f"The budget was exported, so Spectrum already holds it; to import it all the same, check Spectrum, then "
            f"use `budget-bridge reset {key}`."
        )
        return refuse(step, message, by, "already_exported", sentence)
    if budget.status is Status.PENDING_APPROVAL:
        sentence = "A version waits for its approval; reject or retrieve it first."
        return refuse(step, message, by, "version_under_way", sentence)
    if request.mode == "take" and not request.budget_unlocked:
        return refuse(step, message, by, "budget_locked", "The budget is locked on the project side; unlock it first.")
    return None
