"""What ``status KEY`` shows of a budget's readings: what is asked, and what Spectrum was last read to hold."""

from collections.abc import Iterator

from contracts.fields import write_cents, write_time
from handlers.budget import Budget


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


def format_reading(budget: Budget) -> Iterator[str]:
    """Format what is asked and what was read, as lines of text."""
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
