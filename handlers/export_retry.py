"""An operator asks for the last export to be sent again."""

from contracts.cloudevents.message import Message
from contracts.inbound import ExportRetry
from handlers.budget import Status
from handlers.decision import Outcome, Situation, Step, Verdict
from handlers.exports import resend_export
from handlers.requests import refuse, refuse_version


def retry_export(step: Step, message: Message, retry: ExportRetry, situation: Situation) -> Outcome:
    """Decide on a retry."""
    if refused := refuse_version(step, message, retry):
        return refused
    budget, export = step.budget, step.budget.unanswered
    current = budget.version is not None and budget.version.number == retry.budget_version
    failed = budget.status is Status.EXPORT_FAILED or (budget.status is Status.EXPORTING and budget.overdue)
    if export is None or not current or not failed:
        sentence = (
            f"No export of version {retry.budget_version} has failed or is overdue, so there is nothing to retry."
        )
        return refuse(step, message, retry.requested_by, "not_failed", sentence)
    step = resend_export(step, export, retry.effective_date, situation)
    return Outcome(step, Verdict.APPLIED, f"sent again for {retry.requested_by}: {retry.reason}")
