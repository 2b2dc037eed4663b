"""The project side locked a version: it becomes current, waits behind an export, or was received before."""

import hashlib
from collections.abc import Iterable

from contracts.cloudevents.message import Message
from contracts.inbound import ApprovalDecision, BudgetLocked
from contracts.json_text import write_json
from contracts.outbound import BudgetError
from handlers.approval_decision import judge_decision
from handlers.approval_request import request_approval
from handlers.budget import Status, Version, Waiting
from handlers.budget_retrieved import judge_retrieval
from handlers.decision import DeadLetter, Outcome, Resolved, Situation, Step, Verdict
from handlers.imports import end_import
from handlers.requests import Request, answer_superseded_parked, resolve_parked
from handlers.returns import return_invalid
from handlers.signatures import check_proof, refuse_unproven
from handlers.validation.amounts import Hundredths, read_hundredths
from handlers.validation.check import Valid, check_budget
from handlers.validation.columns import Columns, read_columns


def lock_budget(step: Step, message: Message, lock: BudgetLocked, situation: Situation) -> Outcome:
    """Decide on a locked version."""
    budget = step.budget
    number = lock.budget_version
    columns = read_columns(lock.lines)
    digest = digest_content(lock, columns)
    if budget.version and number == budget.version.number and not budget.version_forgotten:
        return _lock_again(step, lock, digest, budget.version, situation)
    if budget.waiting and number == budget.waiting.lock.budget_version:
        if digest == digest_content(budget.waiting.lock, read_columns(budget.waiting.lock.lines)):
            return Outcome(step, Verdict.DUPLICATE, f"version {number} is already waiting, with the same content")
        return _set_aside(step, number)
    if number < budget.newest:
        return Outcome(step, Verdict.STALE, f"version {budget.newest} is newer")
    if budget.status is Status.EXPORTING:
        return _wait(step, message, lock, situation)
    found = check_budget(lock, columns, budget, situation)
    step = make_current(step, lock, digest, found, situation)
    return Outcome(step, Verdict.APPLIED, f"version {number} is now current")


def make_current(
    step: Step, lock: BudgetLocked, digest: str, found: Valid | tuple[BudgetError, ...], situation: Situation
) -> Step:
    """Make a newer version the current one (rows 1 to 3), then decide what was parked for it.

    Args:
        step: the budget so far.
        lock: the version.
        digest: of its content (``digest_content``).
        found: by ``check_budget``.
        situation: what else deciding sees.
    """
    step = end_import(step, "overtaken", situation)
    budget = step.budget
    version = _make_version(lock, digest, found)
    budget = budget._replace(
        version=version,
        version_forgotten=False,
        waiting=None,
        due_at=None,
        overdue=False,
        failed_lines=(),
    )
    if not isinstance(found, Valid):
        returned = return_invalid(budget.key, version, found, situation.at)
        step = step.change(budget._replace(status=Status.INVALID), situation.at, returned)
    elif budget.status is Status.SYNCED and budget.base and budget.base.content_hash == found.content_hash:
        synced = budget._replace(synced_version=version.number, version=version._replace(proposal=None))
        step = step.change(synced, situation.at)
    else:
        pending = budget._replace(status=Status.PENDING_APPROVAL)
        step = step.change(pending, situation.at, request_approval(pending, version, found.proposal))
    return _decide_parked(answer_superseded_parked(step), situation)


def make_waiting_current(step: Step, situation: Situation) -> Step:
    """Make the waiting version current, if there is one and the export that it waited for has ended."""
    waiting = step.budget.waiting
    if waiting is None or step.budget.status is Status.EXPORTING:
        return step
    step = step.resolve(
        Resolved(
            waiting.lock.type, waiting.source, waiting.id, Verdict.APPLIED, "made current when the export had ended"
        )
    )
    columns = read_columns(waiting.lock.lines)
    found = check_budget(waiting.lock, columns, step.budget, situation)
    return make_current(step, waiting.lock, digest_content(waiting.lock, columns), found, situation)


def digest_content(lock: BudgetLocked, lines: Columns) -> str:
    """Digest the business fields: two locks with the same digest say the same, by value and in any order.

    Args:
        lock: the version.
        lines: the fields of all its lines.
    """
    columns: list[Iterable[Hundredths | str]] = [
        lines.item_ids,
        lines.cost_codes,
        lines.cost_types,
        lines.descriptions,
        map(read_hundredths, lines.original_amounts),
        map(read_hundredths, lines.revision_amounts),
    ]
    quantities = [quantity and str(read_hundredths(quantity)) for quantity in lines.quantities]
    optional = (lines.sub_jobs, lines.units, quantities, lines.phase_codes, lines.spectrum_cost_types)
    # Most versions have none of these.
    given = [number for number, column in enumerate(optional) if column.count(None) < len(column)]
    columns += [map(_mark, optional[number]) for number in given]
    total = read_hundredths(lock.total_amount)
    content = [lock.currency, total, given, sorted(set(zip(*columns, strict=True)))]
    return hashlib.sha256(write_json(content)).hexdigest()


def _mark(text: str | None) -> str:
    # A missing text differs from an empty one, and is sorted with the others.
    return "" if text is None else f"={text}"


def _lock_again(step: Step, lock: BudgetLocked, digest: str, version: Version, situation: Situation) -> Outcome:
    if digest != version.digest:
        return _set_aside(step, version.number)
    again = Outcome(step, Verdict.DUPLICATE, f"version {version.number} was locked before, with the same content")
    if step.budget.status is not Status.INVALID:
        return again
    found = check_budget(lock, read_columns(lock.lines), step.budget, situation)
    if not isinstance(found, Valid) and _name_errors(found) == _name_errors(version.errors):
        return again._replace(detail=f"version {version.number} was checked again and has the same errors")
    return Outcome(
        make_current(step, lock, digest, found, situation),
        Verdict.APPLIED,
        f"version {version.number} was checked again",
    )


def _name_errors(errors: tuple[BudgetError, ...]) -> set[tuple[int | None, str | None, str | None]]:
    # Without the sentences: the same error may be worded differently at another time.
    return {(error.budget_line_item_id, error.field, error.code) for error in errors}


def _set_aside(step: Step, number: int) -> Outcome:
    detail = f"version {number} was locked before with other content; a correction needs a new version"
    return Outcome(step.send(DeadLetter("conflicting_content", detail)), Verdict.DEAD_LETTERED, detail)


def _wait(step: Step, message: Message, lock: BudgetLocked, situation: Situation) -> Outcome:
    passed = step.budget.waiting
    if passed:
        detail = f"version {lock.budget_version} was locked while it was waiting"
        step = step.resolve(Resolved(passed.lock.type, passed.source, passed.id, Verdict.SUPERSEDED, detail))
    budget = step.budget._replace(waiting=Waiting(message.source, message.id, lock))
    step = answer_superseded_parked(step.change(budget, situation.at))
    return Outcome(step, Verdict.WAITING, "an export of this budget is under way")


def _make_version(lock: BudgetLocked, digest: str, found: Valid | tuple[BudgetError, ...]) -> Version:
    valid = found if isinstance(found, Valid) else None
    return Version(
        number=lock.budget_version,
        digest=digest,
        created_by=lock.created_by,
        locked_by=lock.locked_by,
        sent_by=lock.sent_by,
        locked_at=lock.locked_at,
        content_hash=valid.content_hash if valid else None,
        errors=() if isinstance(found, Valid) else found,
        proposal=valid.proposal if valid else None,
    )


def _decide_parked(step: Step, situation: Situation) -> Step:
    def answer(step: Step, message: Message, request: Request) -> Outcome:
        if unproven := check_proof(message, situation.at, situation.rules):
            return refuse_unproven(unproven, step)
        if isinstance(request, ApprovalDecision):
            return judge_decision(step, message, request, situation)
        return judge_retrieval(step, message, request, situation)

    version = step.budget.version
    number = version.number if version else 0
    return resolve_parked(step, [kept for kept in step.budget.parked if kept.request.budget_version == number], answer)
