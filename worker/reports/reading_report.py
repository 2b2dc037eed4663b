"""What ``status KEY`` shows of what Spectrum holds: what is asked, what was last read, and whether it differs."""

from collections.abc import Iterator, Mapping
from typing import Final

from contracts.drift import DriftReason
from contracts.fields import write_cents, write_time
from handlers.budget import Budget
from handlers.decision import show_read_back
from handlers.drift import describe_drift
from handlers.read_back import ReadBack
from worker.reports.amounts import format_amount

_REASONS: Final[Mapping[DriftReason, str]] = {
    "not_complete": "not every line of the job was read",
    "current_only": "only current estimates were read, and they differ",
    "not_answered": "Spectrum has begun an export that it has not answered for good",
    "export_sent": "an export was sent after the last comparison",
    "reset": "the budget was reset",
}


def write_reading(budget: Budget | None) -> dict[str, object] | None:
    """Write the last reading as JSON values; ``None`` where there is none."""
    last = budget.last_reading if budget else None
    if last is None:
        return None
    header = last.header
    return {
        "snapshot_id": header.snapshot_id,
        "read_to": write_time(header.read_to),
        "depth": header.depth,
        "complete": header.complete,
        "line_count": header.line_count,
        "total_original": None if header.total_original is None else write_cents(header.total_original),
        "total_current": write_cents(header.total_current),
    }


def write_read_back(budget: Budget | None) -> dict[str, object]:
    """Write how the last reading compares with what was exported, and what is asked, as JSON values."""
    known = budget.read_back if budget else None
    shown, drift, request = show_read_back(known), known.drift if known else None, known.request if known else None
    return {
        "state": shown.state,
        "reason": drift.reason if drift else None,
        "read_at": write_time(shown.read_at) if shown.read_at else None,
        "drift_lines": shown.drift_lines,
        "drift_amount": write_cents(shown.drift_amount),
        "request": {
            "request_id": str(request.id),
            "requested_by": request.requested_by,
            "due_at": write_time(request.due_at),
            "times": request.times,
        }
        if request
        else None,
    }


def write_drift(budget: Budget | None) -> dict[str, object] | None:
    """Write what the last comparison has shown as the JSON of ``erp.drift.v1``; ``None`` where nothing was compared."""
    found = describe_drift(budget) if budget else None
    return found.model_dump(mode="json") if found else None


def describe_comparison(known: ReadBack) -> str:
    """Describe how many lines differ and by how much, and why nothing certain is known; empty where nothing is."""
    lines = known.open_lines
    amount = format_amount(write_cents(sum(line.amount for line in lines)))
    shown = f"{len(lines)} line{'s' if len(lines) > 1 else ''}, {amount} in all" if lines else ""
    return "; ".join(filter(None, (shown, describe_reason(known))))


def describe_reason(known: ReadBack) -> str:
    """Describe why nothing certain is known, or that the last reading is too old; empty where neither is so."""
    reason = known.drift.reason if known.drift else None
    words = [_REASONS[reason]] if reason else []
    return "; ".join(["the last reading is too old", *words] if known.is_stale else words)


def format_reading(budget: Budget) -> Iterator[str]:
    """Format what is asked and what was read, as lines of text."""
    if budget.read_back or budget.base:
        known = budget.read_back or ReadBack()
        words = ": ".join(filter(None, (show_read_back(known).state, describe_comparison(known))))
        more = f"; `budget-bridge drift {budget.key}` shows each line" if known.open_lines else ""
        yield f"  compared with Spectrum: {words}{more}"
    if request := budget.open_request:
        yield f"  Spectrum is being read: an answer is due by {write_time(request.due_at)}"
    if (readings := budget.readings) and readings.collecting:
        there, pages = len(readings.collecting.pages), readings.collecting.header.pages
        yield f"  {there} of {pages} pages of snapshot {readings.collecting.header.snapshot_id} have come in"
    if reading := write_reading(budget):
        partial = "" if reading["complete"] else ", not complete"
        yield (
            f"  last read at {reading['read_to']} ({reading['depth']}{partial}): {reading['line_count']} lines, "
            f"{format_amount(str(reading['total_current']))} in all"
        )
