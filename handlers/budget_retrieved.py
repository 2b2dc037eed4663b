"""The project side retrieves a version before it is accepted."""

from contracts.cloudevents.message import Message
from contracts.inbound import BudgetRetrieved
from handlers.budget import Status
from handlers.decision import Outcome, Situation, Step, Verdict
from handlers.requests import answer_superseded, is_early, is_late, park, refuse
from handlers.returns import return_budget, send_back


def retrieve_budget(step: Step, message: Message, retrieval: BudgetRetrieved, situation: Situation) -> Outcome:
    """Decide on a retrieval."""
    if is_early(step.budget, retrieval):
        return park(step, message, retrieval, situation)
    if is_late(step.budget, retrieval):
        return answer_superseded(step, message, retrieval)
    return judge_retrieval(step, message, retrieval, situation)


def judge_retrieval(step: Step, message: Message, retrieval: BudgetRetrieved, situation: Situation) -> Outcome:
    """Judge a retrieval of the current version."""
    budget, version = step.budget, step.budget.version
    if version is None or budget.status in {Status.INVALID, Status.RETURNED}:
        return Outcome(step, Verdict.DUPLICATE, f"version {retrieval.budget_version} was returned before")
    if budget.status is not Status.PENDING_APPROVAL:
        sentence = f"Version {version.number} was accepted before this retrieval; a correction needs a new version."
        return refuse(step, message, retrieval.retrieved_by, "already_exported", sentence)
    by = retrieval.retrieved_by
    returned = return_budget(budget.key, version, "retrieved", at=retrieval.retrieved_at, by=by)
    return Outcome(
        step.change(send_back(budget, version), situation.at, returned), Verdict.APPLIED, f"retrieved by {by}"
    )
