"""The lines of an export: what Spectrum must hold, what is removed, and how each line differs from the base."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from operator import attrgetter, itemgetter
from typing import Final

from contracts.export_lines import Change, ExportRow
from contracts.fields import write_cents
from contracts.json_text import write_json
from handlers.adoption import find_adopted, index_adopted, list_as_sent
from handlers.budget import Budget, Export, Proposal, SentLine, SentLines, SpectrumLine, Target
from handlers.import_state import Adopted, AdoptedLine

_HASHED: Final = itemgetter(0, 1, *range(3, 9))
"""What of a ``SpectrumLine`` is hashed."""


def hash_content(target: Target, lines: Iterable[SpectrumLine]) -> str:
    """Hash what Spectrum would hold, item ids aside.

    SHA-256 over the compact UTF-8 JSON of ``[company_code, job_number, currency, lines]``; each line, ordered
    by phase and cost type, is ``[phase_code, cost_type, description, original, revision, price_method_code,
    quantity, unit]`` with amounts and quantity as whole hundredths, quantity and unit null while they are off.
    """
    return hashlib.sha256(write_json([*target, list(map(_HASHED, lines))])).hexdigest()


def complete_lines(budget: Budget, proposal: Proposal) -> tuple[SpectrumLine, ...]:
    """Add the lines that earlier exports sent to the job and that this version lacks, as zeros."""
    not_zero = _find_not_zero(budget)
    at_risk = [sent for sent in find_sent_lines(budget, proposal.target) if not sent.at_zero or sent[:2] in not_zero]
    if not at_risk:
        return proposal.lines
    present = {line.key for line in proposal.lines}
    with_quantities = proposal.lines[0].quantity is not None
    descriptions = {line.phase_code: line.description for line in proposal.lines}
    gone = [
        SpectrumLine(
            phase_code=sent.phase_code,
            cost_type=sent.cost_type,
            item_id=sent.item_id,
            description=descriptions.get(sent.phase_code, sent.description),
            original=0,
            revision=0,
            price_method_code=sent.price_method_code,
            quantity=0 if with_quantities else None,
            unit=sent.unit if with_quantities else None,
            gone=True,
        )
        for sent in at_risk
        if sent[:2] not in present
    ]
    return tuple(sorted((*proposal.lines, *gone), key=attrgetter("key"))) if gone else proposal.lines


def _find_not_zero(budget: Budget) -> set[tuple[str, str]]:
    """Find the lines that were sent as zero, and that Spectrum was found to hold nevertheless, unless they are kept."""
    lines = budget.open_lines
    return {line[:2] for line in lines if "not_zero" in line.kinds}


def compare_with_base(
    lines: Sequence[SpectrumLine], base: Export | None, adopted: Adopted | None, *, follows_base: bool
) -> tuple[ExportRow, ...]:
    """Write each line as it goes out, with its difference from the base.

    Args:
        lines: in the order in which they are sent; all with a quantity or none.
        base: the last export that Spectrum acknowledged with success.
        adopted: the imported lines, where they count and there is no base; compared by their two amounts alone.
        follows_base: whether nothing was exported after one or the other, so that its descriptions are Spectrum's.

    Returns:
        Rows of ``MeasuredExportLine`` where there are quantities, otherwise of ``ExportLine``.
    """
    held = index_adopted(adopted, lines) if adopted else index_base_lines(base)
    befores = map(held.get, [line[:2] for line in lines])
    rows = tuple(map(_write_line, lines, befores, _find_kept(lines, (adopted or base) if follows_base else None)))
    if all(line.quantity is None for line in lines):
        return rows
    return tuple((*row, write_cents(line.quantity or 0), line.unit) for row, line in zip(rows, lines, strict=True))


def ends_with_known_lines(budget: Budget, target: Target) -> bool:
    """Check that nothing was exported after the base, or after the import, so that what it had is Spectrum's."""
    return budget.unanswered is None and (budget.base is not None or find_adopted(budget, target) is not None)


def index_base_lines(base: Export | None) -> Mapping[tuple[str, str], SpectrumLine]:
    """Index the lines that the base left in Spectrum, without those that it sent as zero."""
    return {line[:2]: line for line in base.lines if not line.gone} if base else {}


def find_sent_lines(budget: Budget, target: Target) -> tuple[SentLine, ...]:
    """Find the lines that any export has sent to the target's job, and those that were imported from it."""
    sent = next((sent.lines for sent in budget.sent if sent[:2] == target[:2]), ())
    adopted = find_adopted(budget, target)
    if adopted is None:
        return sent
    return tuple(({line[:2]: line for line in sent} | list_as_sent(adopted)).values())


def record_sent(budget: Budget, export: Export, *, taken: bool = False) -> tuple[SentLines, ...]:
    """Record the lines of an export as sent; once it is applied in full, the removed ones are known to be zero.

    Args:
        budget: which knows what was sent before.
        export: the one that is sent now, or has been.
        taken: whether Spectrum has applied it in full.

    Returns:
        Everything that was ever sent, by job.
    """
    target = export.target
    # The description belongs to the phase: what is sent with one cost type holds for the others.
    descriptions = {line.phase_code: line.description for line in export.lines}
    noted = {
        sent[:2]: sent._replace(description=descriptions.get(sent.phase_code, sent.description))
        for sent in find_sent_lines(budget, target)
    }
    for phase_code, cost_type, item_id, description, _, _, method, quantity, unit, gone in export.lines:
        key = phase_code, cost_type
        if quantity is None and key in noted:
            # While quantities are off no unit is sent, so the one sent before still holds.
            unit = noted[key].unit  # noqa: PLW2901 - of the line that is noted
        noted[key] = SentLine(phase_code, cost_type, item_id, description, method, unit, taken and gone)
    return _put_sent(budget, target, tuple(noted.values()))


def record_adopted(budget: Budget) -> tuple[SentLines, ...]:
    """Record the imported lines as sent, so that they stay known when a reset forgets that they were imported."""
    adopted = budget.imports.adopted if budget.imports else None
    if adopted is None:
        return budget.sent
    target = Target(adopted.company_code, adopted.job_number, adopted.currency)
    return _put_sent(budget, target, find_sent_lines(budget, target))


def _put_sent(budget: Budget, target: Target, lines: tuple[SentLine, ...]) -> tuple[SentLines, ...]:
    others = tuple(sent for sent in budget.sent if sent[:2] != target[:2])
    return (*others, SentLines(target.company_code, target.job_number, lines))


def forget_zeros(sent: tuple[SentLines, ...]) -> tuple[SentLines, ...]:
    """Forget which lines are known to be zero, as a reset does; the lines themselves stay known."""
    return tuple(job._replace(lines=tuple(line._replace(at_zero=False) for line in job.lines)) for job in sent)


def _find_kept(lines: Sequence[SpectrumLine], before: Export | Adopted | None) -> Iterable[bool]:
    """Find for each line whether its phase has the description that the base gave it, or that was imported."""
    if before is None:
        return repeat(False)  # noqa: FBT003 - a value, not an argument
    held: tuple[SpectrumLine | AdoptedLine, ...] = before.lines
    descriptions = {line.phase_code: line.description for line in held}
    return [descriptions.get(line.phase_code) == line.description for line in lines]


def _write_line(line: SpectrumLine, before: SpectrumLine | None, keeps: bool) -> ExportRow:  # noqa: FBT001 - for ``map``
    phase_code, cost_type, item_id, description, original, revision, method, _, _, gone = line
    new_original, new_revision = write_cents(original), write_cents(revision)
    if before is None:
        change: Change = "zero" if gone else "add"
        previous_original = previous_revision = None
        original_change, revision_change = new_original, new_revision
    else:
        change = "zero" if gone else "same" if line[3:] == before[3:] else "set"
        previous_original, previous_revision = write_cents(before.original), write_cents(before.revision)
        original_change = write_cents(original - before.original)
        revision_change = write_cents(revision - before.revision)
    return (
        item_id,
        phase_code,
        cost_type,
        description,
        new_original,
        new_revision,
        method,
        change,
        previous_original,
        previous_revision,
        original_change,
        revision_change,
        keeps,
    )
