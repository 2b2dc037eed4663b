"""Asks for the approval of a version, with what Spectrum was last read to hold beside what would be sent."""

from collections.abc import Iterator
from typing import Final

from contracts.export_lines import ApprovalLine, ExportLine, ExportRow
from contracts.fields import write_cents
from contracts.outbound import ApprovalRequested, Notice
from handlers.adoption import find_adopted
from handlers.budget import Budget, Proposal, Status, Target, Version
from handlers.drift import hash_drift, write_found
from handlers.read_back import CountedLine
from handlers.readings import LineKey, ReadLine
from handlers.spectrum_lines import compare_with_base, complete_lines, ends_with_known_lines

_SENT_FIELDS: Final = len(ExportLine.model_fields)
_NEVER_READ: Final = (None,) * (len(ApprovalLine.model_fields) - _SENT_FIELDS)
_PHASE, _COST_TYPE = (list(ExportLine.model_fields).index(name) for name in ("phase_code", "cost_type"))
_NO_FIGURES: Final = [list(ApprovalLine.model_fields).index(name) for name in ("job_to_date_cost", "found_at")]
"""The fields whose change alone is no reason to ask again."""


def request_approval(budget: Budget, version: Version, proposal: Proposal) -> ApprovalRequested:
    """Write the request for an approval.

    Args:
        budget: with the version.
        version: the current one.
        proposal: what would be accepted of it.
    """
    base, adopted = budget.base, find_adopted(budget, proposal.target)
    counted = budget.open_lines
    lines, follows_base = complete_lines(budget, proposal), ends_with_known_lines(budget, proposal.target)
    rows = compare_with_base(lines, base, adopted, follows_base=follows_base)
    return ApprovalRequested(
        **budget.key._asdict(),
        budget_version=version.number,
        content_hash=version.content_hash or "",
        kind="resync" if base else "export",
        base_version=base.version if base else None,
        base_import_id=adopted.import_id if adopted else None,
        company_code=proposal.target.company_code,
        job_number=proposal.target.job_number,
        currency=proposal.target.currency,
        total_amount=write_cents(proposal.total),
        sent_by=version.sent_by,
        locked_at=version.locked_at,
        drift_hash=hash_drift(counted),
        drift_lines=len(counted),
        drift_amount=write_cents(sum(line.amount for line in counted)),
        lines=tuple(_add_found(budget, proposal.target, rows)),
        notices=(*proposal.notices, *_notice_differences(proposal, counted)),
    )


def renew_request(before: Budget, after: Budget) -> tuple[ApprovalRequested, ...]:
    """Ask again for the approval that is pending, if a figure that the approver was shown has changed.

    Args:
        before: the budget as it was when the approval was last asked for.
        after: the budget now.
    """
    version = after.version
    if after.status is not Status.PENDING_APPROVAL or version is None or version.proposal is None:
        return ()
    shown, now = (request_approval(budget, version, version.proposal) for budget in (before, after))
    return () if _list_figures(shown) == _list_figures(now) else (now,)


def _list_figures(request: ApprovalRequested) -> ApprovalRequested:
    rows = [tuple(value for column, value in enumerate(row) if column not in _NO_FIGURES) for row in request.lines]
    return request.model_copy(update={"lines": rows})


def _add_found(budget: Budget, target: Target, rows: tuple[ExportRow, ...]) -> Iterator[ExportRow]:
    """Add to each row what Spectrum was last read to hold of it; a reading of another job says nothing."""
    last = budget.last_reading
    if last is None or (last.header.company_code, last.header.job_number) != target[:2]:
        for row in rows:
            yield row[:_SENT_FIELDS] + _NEVER_READ + row[_SENT_FIELDS:]
        return
    held, at = last.index_lines(), last.header.read_to
    for row in rows:
        key: LineKey = row[_PHASE], row[_COST_TYPE]
        yield (*row[:_SENT_FIELDS], *_write_found_line(held.get(key)), at, *row[_SENT_FIELDS:])


def _write_found_line(found: ReadLine | None) -> tuple[str | None, ...]:
    if found is None:
        return _NEVER_READ[:-1]
    figures = (found.original, found.bridge_revision, found.other_revision, found.current, found.job_to_date_cost)
    return tuple(None if cents is None else write_cents(cents) for cents in figures)


def _notice_differences(proposal: Proposal, counted: tuple[CountedLine, ...]) -> Iterator[Notice]:
    items = {line.key: line.item_id for line in proposal.lines}
    for line in counted:
        held = ", ".join(
            f"{name.removeprefix('found_').replace('_', ' ')} {amount}"
            for name, amount in write_found(line.found).items()
            if amount is not None
        )
        yield Notice(
            budget_line_item_id=items.get(line[:2]),
            code="found_differs",
            message=(
                f"Spectrum differs from what was exported in phase {line.phase_code}, cost type {line.cost_type}, by "
                f"{write_cents(line.amount)} ({', '.join(line.kinds)}): it holds {held or 'no such line'}."
            ),
        )
