"""What ``status KEY`` shows of what Spectrum holds: what is asked, what was last read, and what differs."""

from collections.abc import Iterator
from typing import Final

from contracts.fields import write_cents, write_time
from handlers.budget import Budget
from handlers.drift import hash_drift, write_found

_MOST_LINES: Final = 20


def write_reading(budget: Budget | None) -> dict[str, object] | None:
    """Write the last reading as JSON values; ``None`` where there is none."""
    last = budget.readings.last if budget and budget.readings else None
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


def write_drift(budget: Budget | None) -> dict[str, object] | None:
    """Write what the last comparison has shown as JSON values; ``None`` where nothing was compared."""
    known = budget.read_back if budget else None
    if known is None or known.drift is None:
        return None
    kept = {line[:2]: line for line in known.kept}
    return {
        "export_id": str(known.drift.export_id) if known.drift.export_id else None,
        "version": known.drift.version,
        "state": known.drift.state,
        "reason": known.drift.reason,
        "drift_hash": hash_drift(known.open_lines),
        "lines": [
            {
                "phase_code": line.phase_code,
                "cost_type": line.cost_type,
                "kinds": line.kinds,
                "amount": write_cents(line.amount),
                **write_found(line.found),
                "kept_by": kept[line[:2]].by if line[:2] in kept else None,
                "kept_reason": kept[line[:2]].reason if line[:2] in kept else None,
            }
            for line in known.drift.lines
        ],
    }


def format_reading(budget: Budget) -> Iterator[str]:
    """Format what is asked, what was read and what differs, as lines of text."""
    if request := budget.open_request:
        yield f"  Spectrum is being read: an answer is due by {write_time(request.due_at)}"
    if (readings := budget.readings) and readings.collecting:
        there, pages = len(readings.collecting.pages), readings.collecting.header.pages
        yield f"  {there} of {pages} pages of snapshot {readings.collecting.header.snapshot_id} have come in"
    if reading := write_reading(budget):
        partial = "" if reading["complete"] else ", not complete"
        yield (
            f"  last read at {reading['read_to']} ({reading['depth']}{partial}): {reading['line_count']} lines, "
            f"{reading['total_current']} in all"
        )
    yield from _format_drift(budget)


def _format_drift(budget: Budget) -> Iterator[str]:
    known = budget.read_back
    if known is None or known.drift is None:
        return
    lines, kept = known.drift.lines, {line[:2]: line for line in known.kept}
    for line in lines[:_MOST_LINES]:
        what = f"phase {line.phase_code}, cost type {line.cost_type} by {write_cents(line.amount)}"
        mark = f"; kept by {kept[line[:2]].by}: {kept[line[:2]].reason}" if line[:2] in kept else ""
        yield f"  Spectrum differs in {what} ({', '.join(line.kinds)}){mark}"
    if len(lines) > _MOST_LINES:
        yield f"  … and in {len(lines) - _MOST_LINES} more lines (--json prints all)"
    if found := hash_drift(known.open_lines):
        yield f"  a drift decision must name the drift_hash {found}"
