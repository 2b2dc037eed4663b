"""Spectrum has taken an export whole: it becomes the base, and Spectrum is asked what it holds now."""

from contracts.drift import ErpDrift
from handlers.approval_request import renew_request
from handlers.budget import Budget, Export, Status
from handlers.budget_locked import make_waiting_current
from handlers.decision import Outcome, Situation, Step, Verdict
from handlers.drift import close_drift, drop_kept
from handlers.snapshot_requests import ask_after_success, plan_asking
from handlers.spectrum_lines import record_sent


def take_export(step: Step, export: Export, situation: Situation) -> Outcome:
    """Take the success of the last export (row 8)."""
    budget = drop_kept(step.budget, export)
    drift = budget.drift
    taken = make_base(budget, export)
    told: tuple[ErpDrift, ...] = ()
    if drift and (drift.export_id != export.id or drift.lines):
        # It was found before this success, and perhaps against another export; what was kept of it counts no more.
        taken, told = close_drift(taken, "export_sent")
    taken, asked = ask_after_success(taken, situation)
    if budget.status in {Status.EXPORTING, Status.EXPORT_FAILED}:
        step = step.change(taken._replace(status=Status.SYNCED), situation.at, *told, *asked)
        return Outcome(make_waiting_current(step, situation), Verdict.APPLIED, "Spectrum applied all of it")
    detail = f"Spectrum applied all of version {export.version}; the status is already past that export"
    # The approver was shown the differences from another base, and perhaps what was found and is now closed.
    renewed = renew_request(step.budget, taken)
    return Outcome(step.change(taken, situation.at, *told, *asked, *renewed), Verdict.APPLIED, detail)


def make_base(budget: Budget, export: Export) -> Budget:
    """Make an export the base: Spectrum holds every line of it."""
    return budget._replace(
        unanswered=None,
        base=export,
        synced_version=export.version,
        sent=record_sent(budget, export, taken=True),
        due_at=None,
        overdue=False,
        failed_lines=(),
        partly_applied=False,
        # From now on, what is exported is compared with this export.
        imports=budget.imports and budget.imports._replace(adopted=None),
    )


def take_read_export(step: Step, export: Export, sends: tuple[ErpDrift, ...], situation: Situation) -> Outcome:
    """Take an export as if Spectrum had answered success: a reading shows every line of it, or the others were kept.

    Nothing is asked: what Spectrum holds has just been read.

    Args:
        step: the budget so far, with what was read.
        export: its last one.
        sends: what is to be sent about the reading.
        situation: what else deciding sees.
    """
    taken = plan_asking(make_base(step.budget, export), situation)._replace(status=Status.SYNCED)
    step = make_waiting_current(step.change(taken, situation.at, *sends), situation)
    return Outcome(step, Verdict.APPLIED, "every line of the export stands in Spectrum, or is kept as it is")
