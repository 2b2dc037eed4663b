"""Remembers what comparing a reading with an export has shown, and reports it when it is new."""

import hashlib
from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Final

from contracts.drift import MOST_DRIFT_LINES, DriftLine, DriftReason, ErpDrift
from contracts.fields import write_cents
from contracts.json_text import write_json
from handlers.budget import Budget, Export
from handlers.comparison import ComparedLine, compare_reading, judge_lines
from handlers.read_back import CountedLine, Drift, FoundFigures, KeptLine, ReadBack
from handlers.readings import Snapshot

_KEY: Final = itemgetter(0, 1)


def note_comparison(budget: Budget, export: Export, reading: Snapshot) -> tuple[Budget, tuple[ErpDrift, ...]]:
    """Compare a reading with an export, and remember what that shows.

    Args:
        budget: of the export.
        export: the base, or a failed export.
        reading: of its job.

    Returns:
        The budget, and what is to be sent.
    """
    header = reading.header
    lines = compare_reading(budget, export, reading)
    kept = _carry_kept(budget.read_back.kept if budget.read_back else (), lines, export, reading)
    state, reason = judge_lines(lines, set(map(_KEY, kept)), is_full=header.depth == "full")
    counted = tuple(CountedLine(*line.key, line.kinds, line.amount, line.figures) for line in lines if line.amount)
    drift = Drift(export.id, export.version, state, reason, header.read_to, header.depth, header.complete, counted)
    return _tell(budget.change_read_back(kept=kept), drift, lines)


def note_unanswered(budget: Budget, reading: Snapshot) -> tuple[Budget, tuple[ErpDrift, ...]]:
    """Remember that a reading shows an export that Spectrum has begun and not answered for good (row F8)."""
    export, header = budget.unanswered or budget.base, reading.header
    if export is None:
        return budget, ()
    drift = Drift(export.id, export.version, "unknown", "not_answered", header.read_to, header.depth, header.complete)
    return _tell(budget, drift, ())


def close_drift(budget: Budget, reason: DriftReason) -> tuple[Budget, tuple[ErpDrift, ...]]:
    """Remember that what was found before no longer holds; nothing is sent where nothing was compared."""
    before = budget.drift
    if before is None:
        return budget, ()
    export_id = None if reason == "reset" else before.export_id
    return _tell(budget, Drift(export_id, before.version, "unknown", reason, None, None, None), ())


def keep_lines(
    budget: Budget, export: Export, reading: Snapshot, kept: Iterable[KeptLine]
) -> tuple[Budget, tuple[ErpDrift, ...]]:
    """Mark lines as kept, and compare again.

    Args:
        budget: with the drift that they are of.
        export: what it was compared with.
        reading: the last one.
        kept: the lines.
    """
    before = budget.read_back.kept if budget.read_back else ()
    return note_comparison(budget.change_read_back(kept=(*before, *kept)), export, reading)


def drop_kept(budget: Budget, export: Export) -> Budget:
    """Forget which lines were kept, of those that an export has which Spectrum has taken whole."""
    if budget.read_back is None or not budget.read_back.kept:
        return budget
    sent = {line.key for line in export.lines}
    return budget.change_read_back(kept=tuple(line for line in budget.read_back.kept if line[:2] not in sent))


def describe_drift(budget: Budget) -> ErpDrift | None:
    """Describe what the last comparison has shown, line by line; ``None`` where nothing was compared since a reset."""
    drift = budget.drift
    if drift is None:
        return None
    export, reading = find_compared(budget), budget.last_reading
    # Where nothing was compared, or something else was read since, there are no lines to show.
    is_shown = drift.reason != "not_answered" and reading is not None and drift.read_to == reading.header.read_to
    lines = compare_reading(budget, export, reading) if export and reading and is_shown else ()
    return _write_drift(budget, drift, lines)


def find_compared(budget: Budget) -> Export | None:
    """Find the export that the last comparison was made with, if it is still the base or the one that failed."""
    drift = budget.drift
    return next((one for one in (budget.unanswered, budget.base) if one and drift and one.id == drift.export_id), None)


def hash_drift(lines: Sequence[CountedLine]) -> str | None:
    """Hash the lines that count and what was found of them; ``None`` where there are none.

    SHA-256 over the compact UTF-8 JSON of a list of ``[phase_code, cost_type, found_original,
    found_bridge_revision, found_other_revision, found_current]``, ordered by phase and cost type, amounts as whole
    hundredths, null where there is none.
    """
    rows = [[line.phase_code, line.cost_type, *line.found] for line in lines]
    return hashlib.sha256(write_json(rows)).hexdigest() if rows else None


def _carry_kept(
    kept: tuple[KeptLine, ...], lines: Iterable[ComparedLine], export: Export, reading: Snapshot
) -> tuple[KeptLine, ...]:
    """Carry over the marks of lines that no later export has, if the same is found or nothing can be said of them."""
    is_full, is_complete = reading.header.depth == "full", reading.header.complete
    figures = {line.key: line.figures for line in lines if line.amount}
    held = reading.index_lines() if kept else {}
    exported = {line.key for line in export.lines} if kept else set()

    def stays(line: KeptLine) -> bool:
        if line.export_id not in {None, export.id} and line[:2] in exported:
            return False
        found = held.get(line[:2])
        if found and not is_full:
            return found.current == line.found.current
        return figures.get(line[:2]) == line.found if found or (is_full and is_complete) else True

    last = {line[:2]: line for line in kept}
    return tuple(line for _, line in sorted(last.items()) if stays(line))


def _tell(budget: Budget, drift: Drift, lines: Iterable[ComparedLine]) -> tuple[Budget, tuple[ErpDrift, ...]]:
    before = budget.drift
    shown = _write_drift(budget.change_read_back(drift=drift), drift, lines)
    told = hashlib.sha256(shown.model_dump_json(exclude={"read_to"}).encode()).hexdigest()
    budget = budget.change_read_back(drift=drift._replace(told=told))
    return budget, (() if before and before.told == told else (shown,))


def _write_drift(budget: Budget, drift: Drift, lines: Iterable[ComparedLine]) -> ErpDrift:
    read_back = budget.read_back or ReadBack()
    counted = read_back.open_lines
    kept = {line[:2]: line for line in read_back.kept}
    counting = set(map(_KEY, counted))
    first = sorted(lines, key=lambda line: (line.key not in counting, line.key))
    return ErpDrift(
        **budget.key._asdict(),
        budget_version=drift.version,
        export_id=drift.export_id,
        state=drift.state,
        reason=drift.reason,
        read_to=drift.read_to,
        depth=drift.depth,
        complete=drift.complete,
        drift_hash=hash_drift(counted),
        drift_lines=len(counted),
        drift_amount=write_cents(sum(line.amount for line in counted)),
        lines=tuple(_write_line(line, kept.get(line.key)) for line in first[:MOST_DRIFT_LINES]),
    )


def _write_line(line: ComparedLine, kept: KeptLine | None) -> DriftLine:
    original, revision = line.expected or (None, None)
    return DriftLine(
        phase_code=line.key[0],
        cost_type=line.key[1],
        budget_line_item_id=line.item_id,
        kinds=line.kinds,
        expected_original=_write_optional(original),
        expected_revision=_write_optional(revision),
        **write_found(line.figures),
        kept_by=kept.by if kept else None,
        kept_reason=kept.reason if kept else None,
    )


def write_found(found: FoundFigures) -> dict[str, str | None]:
    """Write found figures under the names of the contract."""
    return {f"found_{name}": _write_optional(cents) for name, cents in found._asdict().items()}


def _write_optional(cents: int | None) -> str | None:
    return None if cents is None else write_cents(cents)
