"""A timer of the bridge reports that a deadline of a version has passed."""

from contracts.cloudevents.message import Message
from contracts.inbound import DeadlinePassed
from contracts.outbound import SnapshotRequested
from handlers.budget import Status
from handlers.decision import Outcome, Situation, Step, Verdict
from handlers.imports import expire_import
from handlers.requests import Request, name_requester, refuse, resolve_parked
from handlers.snapshot_pages import drop_collecting
from handlers.snapshot_requests import ask_again, ask_for_reading, plan_asking


def pass_deadline(step: Step, _: Message, passed: DeadlinePassed, situation: Situation) -> Outcome:
    """Decide on a deadline: an export becomes overdue (row 10), parked messages expire, or nobody has read the job."""
    if passed.deadline == "parked":
        return _expire_parked(step, passed)
    if passed.deadline == "snapshot":
        return _pass_snapshot_deadline(step, passed, situation)
    if passed.deadline == "read_back":
        return _pass_read_back(step, passed, situation)
    if passed.deadline == "import":
        return expire_import(step, passed, situation)
    budget = step.budget
    speaks_of_it = budget.version is not None and budget.version.number == passed.budget_version
    if budget.status is Status.EXPORTING and speaks_of_it and budget.due_at and budget.due_at <= passed.due_at:
        step = step.change(budget._replace(due_at=None, overdue=True), situation.at)
        return Outcome(step, Verdict.APPLIED, "Spectrum has not answered in time")
    return Outcome(step, Verdict.IGNORED, "nothing of this version is due")


def _expire_parked(step: Step, passed: DeadlinePassed) -> Outcome:
    def expire(step: Step, message: Message, request: Request) -> Outcome:
        number = request.budget_version
        sentence = f"Version {number} was never locked while this waited for it; send it again once it is."
        return refuse(step, message, name_requester(request), "expired", sentence)

    due = [
        kept
        for kept in step.budget.parked
        if kept.request.budget_version == passed.budget_version and kept.due_at <= passed.due_at
    ]
    if not due:
        return Outcome(step, Verdict.IGNORED, "nothing parked for this version is due")
    return Outcome(resolve_parked(step, due, expire), Verdict.APPLIED, f"{len(due)} parked messages have expired")


def _pass_snapshot_deadline(step: Step, passed: DeadlinePassed, situation: Situation) -> Outcome:
    """Decide that a request was not answered in time (row R8)."""
    request = step.budget.open_request
    if request is None or request.due_at > passed.due_at:
        return Outcome(step, Verdict.IGNORED, "no request for a snapshot is due")
    collecting = step.budget.readings.collecting if step.budget.readings else None
    if collecting and collecting.header.request_id == request.id:
        step = drop_collecting(step, collecting, "the others did not come in time")
    step, what = ask_again(step, request, situation)
    detail = f"Spectrum's side has not answered the request for a snapshot in time; {what}"
    return Outcome(step, Verdict.APPLIED, detail, warning=step.budget.open_request is None)


def _pass_read_back(step: Step, passed: DeadlinePassed, situation: Situation) -> Outcome:
    """Decide that it is time to ask again by ourselves, or that the last reading is too old (row D5)."""
    budget, known = step.budget, step.budget.read_back
    if known is None or known.due_at is None or known.due_at > passed.due_at:
        return Outcome(step, Verdict.IGNORED, "no reading is due")
    done: list[str] = []
    asked: tuple[SnapshotRequested, ...] = ()
    if known.ask_due_at and known.ask_due_at <= passed.due_at:
        budget = plan_asking(budget, situation)
        if situation.rules.every and budget.base and not budget.open_request:
            budget, asked = ask_for_reading(budget, None, situation)
            done.append("asked what Spectrum holds")
    if known.stale_due_at and known.stale_due_at <= passed.due_at:
        budget = budget.change_read_back(stale_due_at=None, is_stale=budget.base is not None)
        done.append("the last reading is too old")
    detail = "; ".join(done) or "nothing is asked now"
    return Outcome(step.change(budget, situation.at, *asked), Verdict.APPLIED, detail)
