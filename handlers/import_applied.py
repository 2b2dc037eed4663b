"""The project side has taken what an import offered, or part of it, or nothing."""

from collections.abc import Iterable, Iterator, Mapping

from contracts.cloudevents.message import Message
from contracts.imports import AppliedLine, ImportApplied, ImportNotice
from contracts.text import is_blank
from handlers.budget import Budget
from handlers.decision import DeadLetter, Outcome, Situation, Step, Verdict
from handlers.ids import name_request
from handlers.import_offer import Offered
from handlers.imports import end_import, list_last_offered, take_offer
from handlers.readings import LineKey


def apply_import(step: Step, _: Message, applied: ImportApplied, situation: Situation) -> Outcome:
    """Decide on the answer of the project side to an offer (rows I6 to I8)."""
    budget, one, by = step.budget, step.budget.open_import, applied.applied_by
    if _has_ended(budget, applied):
        return Outcome(step, Verdict.STALE, "this import has ended before")
    if one is None or not one.is_ready or applied.import_id != name_request(budget.key, one.first_request):
        detail = f"import {applied.import_id} was not offered to this budget"
        return Outcome(step.send(DeadLetter("unknown_import", detail)), Verdict.DEAD_LETTERED, detail)
    if applied.status == "abandoned":
        return Outcome(end_import(step, "abandoned", situation), Verdict.APPLIED, f"abandoned by {by}")
    offered = list_last_offered(budget, one)
    told = {(line.phase_code, line.spectrum_cost_type): line for line in applied.lines}
    named = {line.key: told[line.key] for line in offered if line.key in told}
    has_failed = any(line.status == "failed" for line in named.values())
    if applied.status == "whole" and not has_failed:
        whole = {line.key: named[line.key].budget_line_item_id if line.key in named else None for line in offered}
        step = take_offer(step, one, offered, whole, situation)
        return Outcome(end_import(step, "applied", situation), Verdict.APPLIED, f"taken whole by {by}")
    taken = {key: line.budget_line_item_id for key, line in named.items() if line.status == "success"}
    step = take_offer(step, one, offered, taken, situation)
    step = end_import(step, "partial", situation, tuple(_list_not_taken(offered, taken, named)))
    return Outcome(step, Verdict.APPLIED, f"{len(taken)} of {len(offered)} lines were taken by {by}")


def _has_ended(budget: Budget, applied: ImportApplied) -> bool:
    ended = budget.imports.ended if budget.imports else ()
    return any(applied.import_id == name_request(budget.key, number) for number in ended)


def _list_not_taken(
    offered: Iterable[Offered], taken: Mapping[LineKey, int | None], named: Mapping[LineKey, AppliedLine]
) -> Iterator[ImportNotice]:
    for line in offered:
        if line.key in taken or line.change == "same":
            continue
        said = named[line.key].error if line.key in named else None
        message = "The project side has not taken this line." if is_blank(said or "") else str(said)
        yield ImportNotice(phase_code=line.key[0], spectrum_cost_type=line.key[1], code="not_applied", message=message)
