"""Decide on one message: the pure step that everything else is built around.

Total: no message in any state raises. Which message goes to which handler is visible here and nowhere else.
"""

from contracts.cloudevents.message import Message
from contracts.drift import DriftDecision
from contracts.erp_snapshot import ErpSnapshot
from contracts.imports import ImportApplied, ImportRequested
from contracts.inbound import (
    ApprovalDecision,
    BudgetLocked,
    BudgetRelease,
    BudgetReset,
    BudgetRetrieved,
    DeadlinePassed,
    ErpAcknowledgement,
    ExportRetry,
    SnapshotRequest,
)
from handlers.approval_decision import decide_approval
from handlers.budget import Budget
from handlers.budget_locked import lock_budget
from handlers.budget_release import decides_held, release_held
from handlers.budget_reset import reset_budget
from handlers.budget_retrieved import retrieve_budget
from handlers.deadline_passed import pass_deadline
from handlers.decision import Outcome, Situation, Step, Verdict
from handlers.drift_decision import decide_drift
from handlers.erp_acknowledgement import acknowledge_export
from handlers.erp_snapshot import take_page
from handlers.export_retry import retry_export
from handlers.import_applied import apply_import
from handlers.import_requested import request_import
from handlers.signatures import check_proof, refuse_unproven
from handlers.snapshot_request import request_snapshot


def decide(budget: Budget, message: Message, situation: Situation) -> Outcome:  # noqa: C901, PLR0911, PLR0912
    """Decide what a message means for its budget; a repeat of its identity never gets here.

    Args:
        budget: what there is of it so far; a new one where nothing is.
        message: about this budget.
        situation: what else deciding sees.

    Returns:
        The budget after it, what is to be sent, and the verdict with its reason.
    """
    # One branch for each kind of message.
    step = Step(budget)
    if budget.holds_messages and not decides_held(message.body):
        return Outcome(step, Verdict.HELD, "the budget is on hold" if budget.on_hold else "a release is under way")
    # Of a message that is decided as it arrives, the lane has asked this before; of one that was held, nobody since.
    if unproven := check_proof(message, situation.at, situation.rules):
        return refuse_unproven(unproven, step)
    match message.body:
        case BudgetLocked() as body:
            return lock_budget(step, message, body, situation)
        case BudgetRetrieved() as body:
            return retrieve_budget(step, message, body, situation)
        case ApprovalDecision() as body:
            return decide_approval(step, message, body, situation)
        case DriftDecision() as body:
            return decide_drift(step, message, body, situation)
        case ImportRequested() as body:
            return request_import(step, message, body, situation)
        case ImportApplied() as body:
            return apply_import(step, message, body, situation)
        case ErpAcknowledgement() as body:
            return acknowledge_export(step, message, body, situation)
        case ErpSnapshot() as body:
            return take_page(step, message, body, situation)
        case SnapshotRequest() as body:
            return request_snapshot(step, message, body, situation)
        case ExportRetry() as body:
            return retry_export(step, message, body, situation)
        case BudgetReset() as body:
            return reset_budget(step, message, body, situation)
        case BudgetRelease() | DeadlinePassed(deadline="release") as body:
            return release_held(step, body, situation, decide)
        case DeadlinePassed() as body:
            return pass_deadline(step, message, body, situation)


def hold(budget: Budget, message: Message, situation: Situation, detail: str) -> Outcome:
    """Put a budget on hold, because deciding on a message of it failed: that message is kept as held.

    A release that failed, or a later piece of it, is not kept: what is held stays held, and the budget on hold.

    Args:
        budget: as it was before the message.
        message: the one on which deciding failed.
        situation: what else deciding sees.
        detail: why, for people.
    """
    if budget.on_hold:
        return Outcome(Step(budget), Verdict.IGNORED, f"the budget stays on hold: {detail}", warning=True)
    step = Step(budget).change(budget._replace(on_hold=True, releasing=False), situation.at)
    if budget.releasing and decides_held(message.body):
        return Outcome(step, Verdict.IGNORED, f"the budget is on hold again: {detail}", warning=True)
    return Outcome(step, Verdict.HELD, detail)


def lift_planned_hold(budget: Budget, release: BudgetRelease) -> Outcome:
    """Release a budget that a recovery was to hold from its next message on, before there was one to hold."""
    detail = f"the hold planned by the recovery is lifted by {release.requested_by}: {release.reason}"
    # Another value, though an equal one: it is stored, and so is that the budget is not on hold any more.
    return Outcome(Step(budget._replace()), Verdict.APPLIED, detail)
