"""What ``drift KEY`` shows of one budget: line by line what Spectrum should hold, and what it was read to hold."""

from collections.abc import Mapping
from typing import Final

from contracts.drift import DriftKind, DriftLine, ErpDrift
from contracts.erp_snapshot import Depth
from contracts.fields import write_cents
from handlers.budget import Budget
from handlers.decision import show_read_back
from handlers.drift import describe_drift
from handlers.read_back import ReadBack
from outbox.budget_record import BudgetRecord
from worker.console import Console
from worker.reports.amounts import align_amounts
from worker.reports.budget_report import find_target, format_time
from worker.reports.reading_report import describe_comparison, write_drift

_KINDS: Final[Mapping[DriftKind, str]] = {
    "original_differs": "another original estimate",
    "revision_differs": "another revision under the bridge's references",
    "current_differs": "the current estimate is not the sum of original and revisions",
    "missing": "Spectrum lacks the line",
    "not_zero": "not at zero, as it should be",
    "not_seen": "not among what was read",
    "unknown_line": "the bridge has never sent it",
    "others_revised": "others have revised it",
    "phase_complete": "the phase is complete",
    "description_differs": "another description",
    "price_differs": "another price method",
}
_OF_CURRENT_ONLY: Final = "another current estimate"
_HEADER: Final = ("phase", "type", "expected", "revision", "found", "revision", "others'", "current", "by", "what")
_AMOUNTS: Final = range(2, 9)


def write_budget_drift(record: BudgetRecord) -> dict[str, object]:
    """Write the drift of a budget as JSON values: what ``erp.drift.v1`` says, and how old it is."""
    known = record.budget.read_back if record.budget else None
    return {
        "budget": record.key._asdict(),
        "read_back": show_read_back(known).state,
        "drift": write_drift(record.budget),
    }


def print_budget_drift(record: BudgetRecord, console: Console) -> None:
    """Print the drift of a budget."""
    console.print_line(f"Budget {record.key}", style="bold")
    budget = record.budget
    found = describe_drift(budget) if budget else None
    if budget is None or budget.read_back is None or found is None:
        console.print_line("Spectrum has not been compared with what was exported")
        return
    _print_summary(budget, budget.read_back, found, console)
    if found.lines:
        amounts = {line[:2]: line.amount for line in budget.read_back.drift.lines} if budget.read_back.drift else {}
        console.print_line()
        _print_lines(found, amounts, console)


def _print_summary(budget: Budget, known: ReadBack, found: ErpDrift, console: Console) -> None:
    target = find_target(budget)
    console.print_line(f"{show_read_back(known).state}: {describe_comparison(known) or 'no line counts'}")
    if found.export_id:
        job = f", in company {target.company_code}, job {target.job_number}, in {target.currency}" if target else ""
        console.print_line(f"  compared with version {found.budget_version}, export {found.export_id}{job}")
    if found.read_to:
        extent = f"{found.depth}{'' if found.complete else ', not complete'}"
        console.print_line(f"  read until {format_time(found.read_to)} ({extent})")
    if found.drift_hash:
        console.print_line(f"  drift hash {found.drift_hash}")
        console.print_line("  it waits for an approver, to have it restated or to keep it (`drift.decision.v1`)")


def _print_lines(found: ErpDrift, amounts: Mapping[tuple[str, str], int], console: Console) -> None:
    rows = [_format_line(line, amounts, found.depth) for line in found.lines]
    console.print_table(*align_amounts(_HEADER, rows, _AMOUNTS))


def _format_line(line: DriftLine, amounts: Mapping[tuple[str, str], int], depth: Depth | None) -> tuple[str, ...]:
    kept = f"; kept by {line.kept_by}: {line.kept_reason}" if line.kept_by else ""
    amount = amounts.get((line.phase_code, line.cost_type))
    return (
        line.phase_code,
        line.cost_type,
        line.expected_original or "",
        line.expected_revision or "",
        line.found_original or "",
        line.found_bridge_revision or "",
        line.found_other_revision or "",
        line.found_current or "",
        write_cents(amount) if amount else "",
        describe_kinds(line, depth) + kept,
    )


def describe_kinds(line: DriftLine, depth: Depth | None) -> str:
    """Describe in words what is found to be different in a line, by a reading of this depth."""
    return "; ".join(
        _OF_CURRENT_ONLY if (kind, depth) == ("current_differs", "current_only") else _KINDS[kind]
        for kind in line.kinds
    )
