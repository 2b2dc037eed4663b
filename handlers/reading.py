"""Places a reading among the exports of its budget: by the one that was begun last, never by its time."""

from contracts.drift import ErpDrift
from contracts.fields import write_time
from handlers.approval_request import renew_request
from handlers.budget import Budget, Export, Status
from handlers.decision import DeadLetter, Outcome, Situation, Step, Verdict
from handlers.drift import note_comparison, note_unanswered
from handlers.ids import name_export
from handlers.imports import take_import_reading
from handlers.readings import BegunExport, Readings, Snapshot
from handlers.taken_export import take_read_export


def conclude_reading(  # noqa: PLR0911 - one for each row
    step: Step, reading: Snapshot, situation: Situation
) -> Outcome:
    """Decide on a reading: offer it, compare it (rows F4 to F8), or say why it shows nothing of what Spectrum holds."""
    budget, begun = step.budget, reading.header.last_begun
    number = find_begun(budget, begun)
    if number is None:
        detail = f"it was read after export {begun.export_id if begun else ''}, which this bridge never sent"
        return Outcome(step.send(DeadLetter("unknown_export", detail)), Verdict.DEAD_LETTERED, detail)
    if taken := take_import_reading(step, reading, situation):
        return taken
    if budget.spectrum_target is None:
        return Outcome(step, Verdict.IGNORED, "nothing of this budget was exported, or nothing since its reset")
    if budget.status is Status.EXPORTING and number != len(budget.tries):
        return Outcome(step, Verdict.STALE, "it was read before the export that is under way")
    if budget.status is Status.EXPORTING and begun and not begun.whole:
        return Outcome(step, Verdict.IGNORED, "it was read in the middle of the export that is under way")
    if _is_before_base(budget, number, begun):
        return Outcome(step, Verdict.STALE, "it was read before Spectrum had applied its last export")
    return _compare(step, reading, _find_export(budget, number), situation)


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


def _is_before_base(budget: Budget, number: int, begun: BegunExport | None) -> bool:
    """Check whether a reading is older than the success that made the base, or than the last reset (row F7)."""
    if budget.base is None:
        return number <= budget.tries_before_reset
    return number < budget.base.number or (number == budget.base.number and begun is not None and not begun.whole)


def _find_export(budget: Budget, number: int) -> Export | None:
    """Find the export that a reading is compared with; ``None`` where it shows one that nobody has answered."""
    failed_or_sent = budget.unanswered if budget.status in {Status.EXPORTING, Status.EXPORT_FAILED} else None
    candidates = (failed_or_sent, None if budget.status is Status.EXPORTING else budget.base)
    return next((export for export in candidates if export and export.number == number), None)


def _compare(step: Step, reading: Snapshot, export: Export | None, situation: Situation) -> Outcome:
    budget, sends = _note(step.budget, reading, export, situation)
    if export and budget.status is Status.EXPORTING and not _shows_that_it_stands(budget):
        # Perhaps the export is still to be answered as partial: until then its lines prove nothing.
        export = None
        budget, sends = _note(step.budget, reading, export, situation)
    if export and _ends_export(budget, export, reading, situation):
        return take_read_export(step._replace(budget=budget), export, sends, situation)
    renewed = renew_request(step.budget, budget)
    detail = f"{reading.header.line_count} lines, read until {write_time(reading.header.read_to)}"
    return Outcome(step.change(budget, situation.at, *sends, *renewed), Verdict.APPLIED, detail)


def _note(
    budget: Budget, reading: Snapshot, export: Export | None, situation: Situation
) -> tuple[Budget, tuple[ErpDrift, ...]]:
    """Keep a reading as the last one, and note what it shows."""
    kept = budget._replace(readings=Readings(last=reading)).change_read_back(
        since=situation.at,
        read_to=reading.header.read_to,
        stale_due_at=situation.at + situation.rules.stale_after,
        is_stale=False,
    )
    return note_comparison(kept, export, reading) if export else note_unanswered(kept, reading)


def _shows_that_it_stands(budget: Budget) -> bool:
    drift = budget.drift
    return drift is not None and drift.state == "matches"


def _ends_export(budget: Budget, export: Export, reading: Snapshot, situation: Situation) -> bool:
    """Check whether a reading counts as the success of an export that nobody has answered so (row F4)."""
    header, drift = reading.header, budget.drift
    # A line at zero that the reading lacks may only not have been seen; one that was kept does not stand as sent.
    is_proof = header.depth == "full" and header.complete and drift is not None and not drift.lines
    is_whole = header.last_begun is not None and header.last_begun.whole and _shows_that_it_stands(budget)
    return is_proof and is_whole and export is budget.unanswered and situation.rules.acknowledges == "success"
