"""What ``status KEY`` shows of the import of a budget, also of one that was never locked."""

from collections.abc import Iterator

from contracts.fields import write_cents, write_time
from handlers.budget import Budget
from handlers.ids import name_request
from handlers.import_state import Adopted, OpenImport
from worker.reports.amounts import format_amount


def write_import(budget: Budget | None) -> dict[str, object]:
    """Write the state of the import, and what was adopted, as JSON values."""
    one = budget.open_import if budget else None
    adopted = budget.imports.adopted if budget and budget.imports else None
    return {
        "state": _name_state(one, adopted),
        "under_way": {
            "import_id": str(name_request(budget.key, one.first_request)),
            "requested_by": one.requested_by,
            "mode": one.mode,
            "currency": one.currency,
            "due_at": write_time(one.due_at),
        }
        if budget and one
        else None,
        "adopted": {
            "import_id": str(adopted.import_id),
            "company_code": adopted.company_code,
            "job_number": adopted.job_number,
            "currency": adopted.currency,
            "lines": len(adopted.lines),
            "total_original": write_cents(sum(line.original for line in adopted.lines)),
        }
        if adopted
        else None,
    }


def format_import(budget: Budget) -> Iterator[str]:
    """Format the state of the import, as lines of text; none where there is nothing to say."""
    if one := budget.open_import:
        waits = "the project side has to take what is offered" if one.is_ready else "Spectrum is to be read"
        state = _name_state(one, None)
        until = write_time(one.due_at)
        yield f"  import {state} ({one.mode}), asked for by {one.requested_by}: {waits}; it expires at {until}"
    if budget.imports and (adopted := budget.imports.adopted):
        total = format_amount(write_cents(sum(line.original for line in adopted.lines)))
        yield f"  imported from job {adopted.job_number}: {len(adopted.lines)} lines, {total} {adopted.currency} in all"


def _name_state(one: OpenImport | None, adopted: Adopted | None) -> str:
    if one:
        return "READY" if one.is_ready else "ASKED"
    return "APPLIED" if adopted else "NONE"
