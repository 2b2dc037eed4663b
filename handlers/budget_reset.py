"""An operator has checked Spectrum and releases the job: earlier exports no longer count."""

from contracts.cloudevents.message import Message
from contracts.inbound import BudgetReset
from handlers.budget import Status
from handlers.decision import Outcome, Situation, Step, Verdict
from handlers.drift import close_drift
from handlers.imports import end_import
from handlers.read_back import ReadBack
from handlers.readings import Readings
from handlers.requests import refuse, refuse_version
from handlers.returns import return_budget, send_back
from handlers.snapshot_pages import drop_collecting
from handlers.spectrum_lines import forget_zeros, record_adopted


def reset_budget(step: Step, message: Message, reset: BudgetReset, situation: Situation) -> Outcome:
    """Decide on a reset (row 14)."""
    if refused := refuse_version(step, message, reset):
        return refused
    budget, version, by = step.budget, step.budget.version, reset.requested_by
    if version is None or budget.status is Status.EXPORTING:
        sentence = f"An export of version {version.number if version else 0} is under way; wait for its answer first."
        return refuse(step, message, by, "already_exported", sentence)
    step = end_import(step, "abandoned", situation)
    if step.budget.readings and (collecting := step.budget.readings.collecting):
        step = drop_collecting(step, collecting, "the budget was reset")
    budget = step.budget
    returned = return_budget(budget.key, version, "reset", at=situation.at, by=by, reason=reset.reason)
    free = send_back(budget, version)._replace(
        unanswered=None,
        base=None,
        synced_version=None,
        erp_reference=None,
        sent=forget_zeros(record_adopted(budget)),
        tries_before_reset=len(budget.tries),
        version_forgotten=True,
        partly_applied=False,
        imports=budget.imports and budget.imports._replace(adopted=None),
        # Whatever the connector's clock said before, what it reads from now on is newer.
        readings=budget.readings and Readings(),
    )
    free, drift = close_drift(free, "reset")
    if free.read_back:
        # What is known of Spectrum is of the exports that no longer count; only the numbers of requests stay used.
        free = free._replace(read_back=ReadBack(requests=free.read_back.requests))
    return Outcome(step.change(free, situation.at, returned, *drift), Verdict.APPLIED, f"reset by {by}: {reset.reason}")
