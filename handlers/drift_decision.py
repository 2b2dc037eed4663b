"""An approver decides what to do where Spectrum differs from what was exported: restate it, or keep what is there."""

from contracts.cloudevents.message import Message
from contracts.drift import DriftDecision
from contracts.text import is_blank
from handlers.approval_request import renew_request
from handlers.budget import Status
from handlers.decision import Outcome, Situation, Step, Verdict
from handlers.drift import find_compared, hash_drift, keep_lines
from handlers.exports import restate_export
from handlers.read_back import CountedLine, KeptLine
from handlers.requests import refuse, refuse_stranger
from handlers.taken_export import take_read_export
from handlers.validation.job import check_references


def decide_drift(step: Step, message: Message, decision: DriftDecision, situation: Situation) -> Outcome:
    """Decide on a drift decision (rows D1 to D3)."""
    counted = step.budget.open_lines
    if refused := _refuse(step, message, decision, counted, situation):
        return refused
    if decision.decision == "restate":
        return _restate(step, message, decision, situation)
    return _keep(step, decision, counted, situation)


def _refuse(  # noqa: PLR0911 - one for each code
    step: Step, message: Message, decision: DriftDecision, counted: tuple[CountedLine, ...], situation: Situation
) -> Outcome | None:
    budget, by = step.budget, decision.decided_by
    if refused := refuse_stranger(step, message, by, situation):
        return refused
    if not counted:
        return refuse(step, message, by, "no_drift", "Spectrum is not known to differ from what was exported.")
    if decision.drift_hash != hash_drift(counted):
        sentence = "What Spectrum was found to hold has changed since this decision was made; look at it again."
        return refuse(step, message, by, "drift_changed", sentence)
    if decision.decision == "restate" and budget.status is not Status.SYNCED:
        sentence = (
            f"The budget is {budget.status}, so there is no synced version to be sent once more: the next accepted "
            f"export overwrites what differs."
        )
        return refuse(step, message, by, "not_synced", sentence)
    if decision.decision == "restate" and (problem := next(check_references(budget, situation), None)):
        return refuse(step, message, by, "no_reference_left", problem.message)
    if decision.decision == "keep" and is_blank(decision.reason or ""):
        return refuse(step, message, by, "no_reason", "Keeping what Spectrum holds needs a reason.")
    return None


def _restate(step: Step, message: Message, decision: DriftDecision, situation: Situation) -> Outcome:
    version, base = step.budget.version, step.budget.base
    if version is None or base is None:
        return Outcome(step, Verdict.IGNORED, "there is nothing to restate")
    step = restate_export(step, message, decision, version, base, situation)
    return Outcome(step, Verdict.APPLIED, f"restated for {decision.decided_by}")


def _keep(step: Step, decision: DriftDecision, counted: tuple[CountedLine, ...], situation: Situation) -> Outcome:
    before, by = step.budget, decision.decided_by
    export, reading = find_compared(before), before.last_reading
    chosen = {(line.phase_code, line.cost_type) for line in decision.lines}
    chosen_lines = [line for line in counted if not chosen or line[:2] in chosen]
    if export is None or reading is None or not chosen_lines:
        return Outcome(step, Verdict.IGNORED, "none of these lines differs")
    kept = [KeptLine(*line[:2], line.found, by, decision.reason or "", export.id) for line in chosen_lines]
    budget, sends = keep_lines(before, export, reading, kept)
    detail = f"{len(kept)} of {len(counted)} lines kept by {by}: {decision.reason}"
    ends_failure = before.status is Status.EXPORT_FAILED and before.partly_applied and export is before.unanswered
    if ends_failure and reading.header.complete and len(kept) == len(counted):
        outcome = take_read_export(step._replace(budget=budget), export, sends, situation)
        return outcome._replace(detail=detail)
    step = step.change(budget, situation.at, *sends, *renew_request(before, budget))
    return Outcome(step, Verdict.APPLIED, detail)
