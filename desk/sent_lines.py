"""The lines of a budget as they would be sent, or were sent last, beside what Spectrum was read to hold."""

from collections.abc import Sequence

from contracts.export_lines import ExportRow, name_fields
from contracts.json_text import name_values
from contracts.outbound import Notice
from desk.lines import Shown, read_line
from handlers.adoption import find_adopted
from handlers.approval_request import request_approval
from handlers.budget import Budget, Export
from handlers.spectrum_lines import compare_with_base


def show_lines(budget: Budget) -> Shown | None:
    """Show what an acceptance would send, or what was sent last; ``None`` where the state holds neither."""
    version = budget.version
    if version and version.proposal:
        asked = request_approval(budget, version, version.proposal)
        return _show(budget, asked.lines, version.proposal.total, asked.notices)
    export = _find_export(budget)
    if export is None:
        return None
    adopted = find_adopted(budget, export.target)
    rows = compare_with_base(export.lines, budget.base, adopted, follows_base=export.follows_base)
    return _show(budget, rows, export.total, ())


def _find_export(budget: Budget) -> Export | None:
    """Find the export of the current version, under way, failed or taken."""
    version = budget.version
    return next(
        (one for one in (budget.unanswered, budget.base) if one and version and one.version == version.number), None
    )


def _show(budget: Budget, rows: Sequence[ExportRow], total: int, notices: tuple[Notice, ...]) -> Shown:
    last = budget.last_reading
    held = last.index_lines() if last else {}
    of_item: dict[int, list[Notice]] = {}
    for notice in notices:
        if notice.budget_line_item_id is not None:
            of_item.setdefault(notice.budget_line_item_id, []).append(notice)
    lines = tuple(
        read_line(values, held, tuple(of_item.get(values["budget_line_item_id"], ())))
        for values in name_values(name_fields(rows[0]), rows)
    )
    return Shown(lines, total, notices, last.header.read_to if last else None)
