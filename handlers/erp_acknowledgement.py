"""Spectrum acknowledges an export; only the last export's acknowledgements count."""

from collections.abc import Sequence
from typing import Final

from contracts.cloudevents.message import Message
from contracts.inbound import ErpAcknowledgement
from contracts.outbound import FailedLine
from contracts.text import is_blank
from handlers.budget import Budget, Export, ExportTry, Status
from handlers.budget_locked import make_waiting_current
from handlers.decision import DeadLetter, Outcome, Situation, Step, Verdict
from handlers.ids import name_export
from handlers.taken_export import take_export
from handlers.validation.errors import shorten_value

_SHOWN_LINES: Final = 5


def acknowledge_export(step: Step, _: Message, answer: ErpAcknowledgement, situation: Situation) -> Outcome:
    """Decide on an acknowledgement."""
    budget = step.budget
    sent = _find_try(step, answer)
    if sent is None:
        detail = f"attempt {answer.attempt} of export {answer.export_id} was never sent for this budget and version"
        return Outcome(step.send(DeadLetter("unknown_export", detail)), Verdict.DEAD_LETTERED, detail)
    if sent is not budget.tries[-1] or len(budget.tries) <= budget.tries_before_reset:
        detail = f"{answer.status} of an export that no longer counts: a newer one or a reset came after it"
        return Outcome(step, Verdict.IGNORED, detail, warning=answer.status in {"success", "partial"})
    if budget.unanswered is None:
        if answer.status == "success":
            return Outcome(step, Verdict.DUPLICATE, "it was acknowledged with success before")
        return Outcome(step, Verdict.IGNORED, f"{answer.status} contradicts an earlier success", warning=True)
    if answer.status == "success":
        named = budget._replace(erp_reference=_choose_reference(budget, answer))
        return take_export(step._replace(budget=named), budget.unanswered, situation)
    return _take_other(step, budget.unanswered, answer, situation)


def _find_try(step: Step, answer: ErpAcknowledgement) -> ExportTry | None:
    key, version = step.budget.key, answer.budget_version
    for number, sent in enumerate(step.budget.tries, 1):
        if sent.version == version and answer.export_id == name_export(key, version, number):
            return sent if answer.attempt <= sent.attempt else None
    return None


def _take_other(step: Step, export: Export, answer: ErpAcknowledgement, situation: Situation) -> Outcome:
    budget, status = step.budget, step.budget.status
    last = answer.attempt == export.attempt
    if last and status is Status.EXPORTING and answer.status == "in_progress":
        due_at = situation.at + situation.rules.acknowledgement_deadline
        working = budget._replace(due_at=due_at, overdue=False, erp_reference=_choose_reference(budget, answer))
        step = step.change(working, situation.at)
        return Outcome(step, Verdict.APPLIED, "Spectrum is working on it; the deadline starts again")
    fails = status is Status.EXPORTING and answer.status in {"partial", "failed"}
    if last and (fails or (status is Status.EXPORT_FAILED and answer.status == "partial")):
        failed = budget._replace(
            status=Status.EXPORT_FAILED,
            due_at=None,
            overdue=False,
            failed_lines=_list_failed(export, answer),
            partly_applied=answer.status == "partial",
            erp_reference=_choose_reference(budget, answer),
        )
        step = make_waiting_current(step.change(failed, situation.at), situation)
        detail = f"{answer.status}: {answer.message}" if answer.message else answer.status
        if unknown := [line.error_description for line in failed.failed_lines if line.phase_code is None]:
            return Outcome(step, Verdict.APPLIED, f"{detail}; {unknown[0]}", warning=True)
        return Outcome(step, Verdict.APPLIED, detail)
    return Outcome(step, Verdict.IGNORED, f"{answer.status} of attempt {answer.attempt} changes nothing now")


def _choose_reference(budget: Budget, answer: ErpAcknowledgement) -> str | None:
    return budget.erp_reference if is_blank(answer.erp_reference or "") else answer.erp_reference


def _list_failed(export: Export, answer: ErpAcknowledgement) -> tuple[FailedLine, ...]:
    known = {line.key for line in export.lines}
    said = {(line.phase_code, line.cost_type): line for line in answer.lines}
    failed = [key for key, line in sorted(said.items()) if line.status == "failed"]
    if failed and known.isdisjoint(failed):
        return (_describe_unknown(failed),)
    return tuple(
        FailedLine(
            phase_code=line.phase_code,
            cost_type=line.cost_type,
            error_code=line.error_code,
            error_description=line.error_description,
            error_column=line.error_column,
        )
        for line in (said[key] for key in failed if key in known)
    )


def _describe_unknown(failed: Sequence[tuple[str, str]]) -> FailedLine:
    names = ", ".join(f"{shorten_value(phase)} {shorten_value(kind)}" for phase, kind in failed[:_SHOWN_LINES])
    more = f" and {len(failed) - _SHOWN_LINES} more" if len(failed) > _SHOWN_LINES else ""
    words = f"Spectrum refused lines that the export does not have: {names}{more}."
    return FailedLine(phase_code=None, cost_type=None, error_code=None, error_description=words, error_column=None)
