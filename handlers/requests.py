"""What approval decisions, retrievals and commands have in common: they can be too early, too late, or refused."""

from collections.abc import Callable, Iterable

from contracts.cloudevents.message import Message
from contracts.inbound import ApprovalDecision, BudgetRetrieved, Requested
from contracts.outbound import RefusalCode, RequestRefused
from handlers.budget import Budget, Parked
from handlers.decision import Outcome, Resolved, Situation, Step, Verdict
from handlers.rules import fold_user

Request = ApprovalDecision | BudgetRetrieved


def name_requester(request: Request) -> str:
    """Name the person behind a decision or retrieval."""
    return request.decided_by if isinstance(request, ApprovalDecision) else request.retrieved_by


def refuse(step: Step, message: Message, requested_by: str, code: RefusalCode, sentence: str) -> Outcome:
    """Refuse a request, and send whoever made it one sentence that a person can act on.

    Args:
        step: the budget so far.
        message: what the request came in.
        requested_by: who made it.
        code: why, for programs.
        sentence: why and what to do, for people.
    """
    refusal = RequestRefused(
        **step.budget.key._asdict(),
        budget_version=message.body.version,
        message_id=message.id,
        message_source=message.source,
        message_type=message.body.type,
        message_topic=message.place.topic if message.place else None,
        message_partition=message.place.partition if message.place else None,
        message_offset=message.place.offset if message.place else None,
        requested_by=requested_by,
        code=code,
        message=sentence,
    )
    return Outcome(step.send(refusal), Verdict.REFUSED, f"{code}: {sentence}")


def refuse_stranger(step: Step, message: Message, requested_by: str, situation: Situation) -> Outcome | None:
    """Refuse what only approvers may ask for, if somebody else does; ``None`` for an approver of the project."""
    key = step.budget.key
    if situation.rules.may_approve(requested_by, key.company_id, key.project_id):
        return None
    sentence = f"{requested_by} is not among the approvers of project {key.company_id}/{key.project_id} or its company."
    return refuse(step, message, requested_by, "not_authorised", sentence)


def refuse_version(step: Step, message: Message, command: Requested) -> Outcome | None:
    """Refuse a command for a version that is neither current nor waiting; ``None`` if it is one of them."""
    budget, number = step.budget, command.budget_version
    current = budget.version.number if budget.version else 0
    if number == current or (budget.waiting and number == budget.waiting.lock.budget_version):
        return None
    if number < current:
        sentence = f"Version {number} is no longer current; version {current} is."
        return refuse(step, message, command.requested_by, "stale_version", sentence)
    known = f"version {current} is the current one" if current else "the bridge has received no version of this budget"
    sentence = f"Version {number} is not known; {known}."
    return refuse(step, message, command.requested_by, "unknown_version", sentence)


def park(step: Step, message: Message, request: Request, situation: Situation) -> Outcome:
    """Keep a request until its version becomes current; the same request again is then a duplicate."""
    parked = step.budget.parked
    # Signed with another key, or only one of them signed, it is another request: the first may yet be refused for that.
    if any(_is_same_request(request, one.request) and _name_key(one) == _name_key(message) for one in parked):
        return Outcome(
            step, Verdict.DUPLICATE, f"the same request is already parked for version {request.budget_version}"
        )
    limit = situation.rules.parked_limit
    if len(parked) >= limit:
        sentence = (
            f"{limit} requests already wait for versions of this budget that were not locked yet; "
            f"send this one again once version {request.budget_version} is locked."
        )
        return refuse(step, message, name_requester(request), "parked_limit", sentence)
    due_at = situation.at + situation.rules.parked_expiry
    kept = Parked(message.source, message.id, request, due_at, message.place, message.proof)
    budget = step.budget._replace(parked=(*parked, kept))
    detail = f"version {request.budget_version} is not current yet"
    return Outcome(step.change(budget, situation.at), Verdict.PARKED, detail)


def is_early(budget: Budget, request: Request) -> bool:
    """Check whether a request is for a version that may yet become current: not locked so far, or waiting."""
    number = request.budget_version
    if budget.version and number == budget.version.number:
        return False
    return number > budget.newest or (budget.waiting is not None and number == budget.waiting.lock.budget_version)


def is_late(budget: Budget, request: Request) -> bool:
    """Check whether a request is for a version that is not current and never will be."""
    is_current = budget.version is not None and request.budget_version == budget.version.number
    return not is_current and not is_early(budget, request)


def answer_superseded(step: Step, message: Message, request: Request) -> Outcome:
    """Answer a request whose version is not the current one and never will be."""
    current = step.budget.newest
    if isinstance(request, BudgetRetrieved):
        return Outcome(step, Verdict.STALE, f"version {request.budget_version} is no longer current; {current} is")
    sentence = (
        f"Version {request.budget_version} can no longer be decided: version {current} has taken its place. "
        f"Decide on that one."
    )
    return refuse(step, message, request.decided_by, "stale_version", sentence)


def resolve_parked(step: Step, chosen: Iterable[Parked], answer: Callable[[Step, Message, Request], Outcome]) -> Step:
    """Decide parked requests in order of arrival, and record the verdict of each.

    Args:
        step: the budget so far.
        chosen: the ones to decide, of those that the budget has.
        answer: decides one; it finds the budget without that one.
    """
    for kept in chosen:
        left = tuple(other for other in step.budget.parked if other is not kept)
        message = Message(kept.source, kept.id, kept.request, (), kept.place, kept.proof)
        outcome = answer(step._replace(budget=step.budget._replace(parked=left)), message, kept.request)
        step = outcome.step.resolve(Resolved(kept.request.type, kept.source, kept.id, outcome.verdict, outcome.detail))
    return step


def answer_superseded_parked(step: Step) -> Step:
    """Answer the parked requests whose versions a newer one has just passed over."""
    newest = step.budget.newest
    return resolve_parked(
        step, [kept for kept in step.budget.parked if kept.request.budget_version < newest], answer_superseded
    )


def _read_decision(request: Request) -> tuple[str, str | None] | None:
    # With another content_hash it is another decision.
    return (request.decision, request.content_hash) if isinstance(request, ApprovalDecision) else None


def _name_key(sent: Message | Parked) -> str | None:
    return sent.proof.kid if sent.proof else None


def _is_same_request(request: Request, other: Request) -> bool:
    return (
        request.budget_version == other.budget_version
        and request.type == other.type
        and _read_decision(request) == _read_decision(other)
        and fold_user(name_requester(request)) == fold_user(name_requester(other))
    )
