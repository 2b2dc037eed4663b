"""An approver accepts or rejects a version: it is exported, sent again, returned, or the decision is refused."""

from contracts.cloudevents.message import Message
from contracts.inbound import ApprovalDecision
from contracts.outbound import BudgetError
from contracts.text import is_blank
from handlers.budget import Approval, Budget, Export, Status, Version
from handlers.decision import Outcome, Situation, Step, Verdict
from handlers.drift import hash_drift
from handlers.exports import find_signed, resend_export, start_export
from handlers.requests import answer_superseded, is_early, is_late, park, refuse, refuse_stranger
from handlers.returns import return_budget, return_invalid, send_back
from handlers.rules import Rules, fold_user
from handlers.signatures import must_be_signed
from handlers.validation.check import check_acceptance


def decide_approval(step: Step, message: Message, decision: ApprovalDecision, situation: Situation) -> Outcome:
    """Decide on an approval decision.

    Args:
        step: the budget so far.
        message: what the decision came in.
        decision: for a version that need not be current.
        situation: what else deciding sees.
    """
    if is_early(step.budget, decision):
        return _refuse_early(step, message, decision, situation) or park(step, message, decision, situation)
    if is_late(step.budget, decision):
        return answer_superseded(step, message, decision)
    return judge_decision(step, message, decision, situation)


def judge_decision(step: Step, message: Message, decision: ApprovalDecision, situation: Situation) -> Outcome:
    """Judge a decision on the current version.

    Args:
        step: the budget so far.
        message: what the decision came in.
        decision: for the current version, just now or parked before.
        situation: what else deciding sees.
    """
    status, version = step.budget.status, step.budget.version
    if version is None:
        return Outcome(step, Verdict.IGNORED, "there is no version to decide on")
    accepts = decision.decision == "accept"
    if status not in {Status.PENDING_APPROVAL, Status.EXPORT_FAILED}:
        return _answer_late(step, message, decision, version)
    failed = step.budget.unanswered if status is Status.EXPORT_FAILED else None
    if accepts and failed and _was_said(decision, failed):
        return Outcome(step, Verdict.DUPLICATE, f"this acceptance of version {version.number} was decided before")
    if refused := _refuse_by_rule(step, message, decision, version, situation):
        return refused
    if accepts and failed:
        return _accept_again(step, message, decision, failed, situation)
    return (
        _accept(step, message, decision, version, situation) if accepts else _reject(step, decision, version, situation)
    )


def _was_said(decision: ApprovalDecision, export: Export) -> bool:
    """Check whether an acceptance is one that has sent the export before, said again."""
    said = (Approval(export.approved_by, export.approved_at), *export.approved_again)
    return (fold_user(decision.decided_by), decision.decided_at) in {(fold_user(one.by), one.at) for one in said}


def _refuse_early(step: Step, message: Message, decision: ApprovalDecision, situation: Situation) -> Outcome | None:
    """Refuse to park what a stranger decides, and the acceptance of content that nobody has seen."""
    if refused := refuse_stranger(step, message, decision.decided_by, situation):
        return refused
    if decision.decision == "accept" and decision.content_hash is None:
        sentence = (
            f"Version {decision.budget_version} is not current yet, so its acceptance must name the content_hash that "
            f"it is for; accept it once its approval is requested."
        )
        return refuse(step, message, decision.decided_by, "content_mismatch", sentence)
    return None


def _answer_late(step: Step, message: Message, decision: ApprovalDecision, version: Version) -> Outcome:
    status, number, by = step.budget.status, version.number, decision.decided_by
    accepts = decision.decision == "accept"
    if status in {Status.EXPORTING, Status.SYNCED}:
        if accepts:
            return Outcome(step, Verdict.DUPLICATE, f"version {number} was accepted before")
        sentence = f"Version {number} was accepted before this rejection; a correction needs a new version."
        return refuse(step, message, by, "already_exported", sentence)
    if not accepts:
        return Outcome(step, Verdict.DUPLICATE, f"version {number} was returned before")
    if status is Status.INVALID:
        sentence = f"Version {number} is not valid; it must be corrected and sent again before it can be accepted."
        return refuse(step, message, by, "invalid_version", sentence)
    sentence = f"Version {number} was returned before; only a newer version can be accepted."
    return refuse(step, message, by, "already_returned", sentence)


def _refuse_by_rule(
    step: Step, message: Message, decision: ApprovalDecision, version: Version, situation: Situation
) -> Outcome | None:
    rules, by = situation.rules, decision.decided_by
    accepts = decision.decision == "accept"
    if refused := refuse_stranger(step, message, decision.decided_by, situation):
        return refused
    if accepts and (refused := _refuse_two_eyes(step, message, by, version, rules)):
        return refused
    if not accepts and is_blank(decision.reason or ""):
        return refuse(step, message, by, "no_reason", "A rejection needs a reason that the project side can act on.")
    given = decision.content_hash
    if given is not None and given != version.content_hash:
        sentence = f"The decision is on other content than version {version.number} has; check that version again."
        return refuse(step, message, by, "content_mismatch", sentence)
    if given is None and accepts and (rules.require_content_hash or must_be_signed(message, rules)):
        sentence = f"The decision does not name the content_hash of version {version.number}, which is required."
        return refuse(step, message, by, "content_mismatch", sentence)
    return _refuse_by_drift(step, message, decision, rules) if accepts else None


def _refuse_by_drift(step: Step, message: Message, decision: ApprovalDecision, rules: Rules) -> Outcome | None:
    """Refuse an acceptance by somebody who was shown other figures of Spectrum than it holds (row D4)."""
    by = decision.decided_by
    found = hash_drift(step.budget.read_back.open_lines) if step.budget.read_back else None
    if decision.drift_hash is not None and decision.drift_hash != found:
        sentence = "What Spectrum was found to hold has changed since this decision was made; look at it again."
        return refuse(step, message, by, "drift_changed", sentence)
    if found and decision.drift_hash is None and rules.open_drift == "block":
        sentence = "Spectrum differs from what was exported; an acceptance must name the drift_hash of what was shown."
        return refuse(step, message, by, "drift_open", sentence)
    return None


def _refuse_two_eyes(step: Step, message: Message, by: str, version: Version, rules: Rules) -> Outcome | None:
    if not rules.four_eyes:
        return None
    people = (version.sent_by, version.locked_by)
    if fold_user(by) in {fold_user(person) for person in people if person}:
        sentence = f"{by} sent or locked version {version.number}; somebody else must accept it."
        return refuse(step, message, by, "same_person", sentence)
    if None in people and rules.unknown_sender == "refuse":
        sentence = (
            f"Version {version.number} does not say who sent and who locked it, so four eyes cannot be checked; reject "
            f"it, and have a new version sent that names both."
        )
        return refuse(step, message, by, "sender_unknown", sentence)
    return None


def _accept(
    step: Step, message: Message, decision: ApprovalDecision, version: Version, situation: Situation
) -> Outcome:
    budget, proposal = step.budget, version.proposal
    if proposal is None:
        return Outcome(step, Verdict.IGNORED, "there is nothing to accept")
    if errors := check_acceptance(budget, proposal, situation):
        invalid = version._replace(proposal=None, content_hash=None, errors=errors)
        returned = return_invalid(budget.key, invalid, errors, situation.at)
        step = step.change(budget._replace(status=Status.INVALID, version=invalid), situation.at, returned)
        return Outcome(step, Verdict.APPLIED, "accepted, but it is no longer valid")
    step = start_export(step, message, decision, version, proposal, situation)
    return Outcome(step, Verdict.APPLIED, f"accepted by {decision.decided_by}")


def _accept_again(
    step: Step, message: Message, decision: ApprovalDecision, failed: Export, situation: Situation
) -> Outcome:
    """Send a failed export again (row 11): who accepts has it before them, and knows what has changed in Spectrum."""
    approval = Approval(decision.decided_by, decision.decided_at)
    again = failed._replace(approved_again=(*failed.approved_again, approval), approval=find_signed(message))
    step = resend_export(step, again, decision.effective_date, situation)
    return Outcome(step, Verdict.APPLIED, f"accepted again by {decision.decided_by} after its export had failed")


def _reject(step: Step, decision: ApprovalDecision, version: Version, situation: Situation) -> Outcome:
    budget = step.budget
    failed = budget.status is Status.EXPORT_FAILED
    returned = return_budget(
        budget.key,
        version,
        "export_failed" if failed else "rejected",
        at=decision.decided_at,
        by=decision.decided_by,
        reason=decision.reason,
        errors=_describe_failed_lines(budget),
    )
    step = step.change(send_back(budget, version), situation.at, returned)
    return Outcome(step, Verdict.APPLIED, f"rejected by {decision.decided_by}: {decision.reason}")


def _describe_failed_lines(budget: Budget) -> tuple[BudgetError, ...]:
    lines = budget.unanswered.lines if budget.unanswered else ()
    items: dict[tuple[str | None, str | None], int | None] = {line.key: line.item_id for line in lines}
    return tuple(
        BudgetError(
            budget_line_item_id=items.get((failed.phase_code, failed.cost_type)),
            field=failed.error_column,
            code=failed.error_code,
            message=failed.error_description,
        )
        for failed in budget.failed_lines
    )
