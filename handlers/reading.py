"""A reading is placed among the exports of its budget by the one that was begun last, never by its time."""

from contracts.fields import write_time
from handlers.budget import Budget, Status
from handlers.decision import DeadLetter, Outcome, Situation, Step, Verdict
from handlers.ids import name_export
from handlers.readings import BegunExport, Readings, Snapshot


def conclude_reading(step: Step, reading: Snapshot, situation: Situation) -> Outcome:
    """Decide on a reading: keep it, or say why it shows nothing of what Spectrum holds now."""
    budget, begun = step.budget, reading.header.last_begun
    number = find_begun(budget, begun)
    if number is None:
        detail = f"it was read after export {begun.export_id if begun else ''}, which this bridge never sent"
        return Outcome(step.send(DeadLetter("unknown_export", detail)), Verdict.DEAD_LETTERED, detail)
    if budget.spectrum_target is None:
        return Outcome(step, Verdict.IGNORED, "nothing of this budget was exported, or nothing since its reset")
    if budget.status is Status.EXPORTING and number != len(budget.tries):
        return Outcome(step, Verdict.STALE, "it was read before the export that is under way")
    if budget.status is Status.EXPORTING and begun and not begun.whole:
        return Outcome(step, Verdict.IGNORED, "it was read in the middle of the export that is under way")
    if number < (budget.base.number if budget.base else 1):
        return Outcome(step, Verdict.STALE, "it was read before the last export that Spectrum has applied")
    kept = budget._replace(readings=Readings(last=reading))
    detail = f"{reading.header.line_count} lines, read until {write_time(reading.header.read_to)}"
    return Outcome(step.change(kept, situation.at), Verdict.APPLIED, detail)


def find_begun(budget: Budget, begun: BegunExport | None) -> int | None:
    """Find the number of an export that the ERP side has begun.

    Returns:
        The number; 0 if it has begun none, ``None`` if it names one that was never sent.
    """
    if begun is None:
        return 0
    for number, sent in enumerate(budget.tries, 1):
        if begun.export_id == name_export(budget.key, sent.version, number):
            return number if begun.attempt <= sent.attempt else None
    return None
