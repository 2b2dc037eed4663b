"""What an import offers of a reading: its lines under the project side's codes, or else everything that is wrong."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple
from uuid import UUID

from contracts.budget_key import BudgetKey
from contracts.fields import write_cents
from contracts.imports import MOST_NOTICES, ImportChange, ImportLine, ImportMode, ImportNotice, ImportReady
from handlers.import_state import Adopted
from handlers.readings import LineKey, ReadLine, Snapshot, SnapshotHeader
from handlers.reverse_maps import ReverseMap, reverse_cost_types, reverse_phases
from handlers.rules import Rules
from handlers.validation.limits import FORBIDDEN_IN_KEYS, MAX_LINES, MAX_ORIGINAL


class Offered(NamedTuple):
    """One line as it is offered; amounts in hundredths."""

    key: LineKey
    description: str
    original: int
    revision: int
    change: ImportChange
    previous: int | None
    """The original that was adopted before."""
    item_id: int | None
    found: ReadLine | None
    """``None`` where Spectrum lacks the line."""


def list_offered(reading: Snapshot, adopted: Adopted | None) -> tuple[Offered, ...]:
    """List the lines that have something to take, and the adopted ones that no longer have, by phase and cost type.

    Args:
        reading: a full one.
        adopted: what was adopted before, of the same job and currency.
    """
    before = {line[:2]: line for line in adopted.lines} if adopted else {}
    held = reading.index_lines()
    offered: list[Offered] = []
    for key in sorted({*before, *(key for key, line in held.items() if _has_something(line))}):
        known, found = before.get(key), held.get(key)
        previous, item_id = (known.original, known.item_id) if known else (None, None)
        if found is None or not _has_something(found):
            description = known.description if known else ""
            offered.append(Offered(key, description, 0, 0, "gone", previous, item_id, found))
            continue
        original, revision = found.original or 0, found.bridge_revision or 0
        is_same = known is not None and (known.original, known.revision) == (original, revision)
        change: ImportChange = "same" if is_same else "set" if known else "add"
        offered.append(Offered(key, found.description, original, revision, change, previous, item_id, found))
    return tuple(offered)


def check_header(header: SnapshotHeader) -> Iterator[ImportNotice]:
    """Check that a reading shows all that there is; otherwise its lines are not looked at."""
    if header.depth != "full":
        yield _about_all("not_full", "Only the current estimates were read; an import needs originals and revisions.")
    if not header.complete:
        yield _about_all("not_complete", "Not every phase and cost type of the job was read.")
    if header.unposted:
        yield _about_all("unposted_estimates", "The job has estimate entries that are not posted; post them first.")
    if header.job_status == "C":
        yield _about_all("job_complete", f"Job {header.job_number} is complete in Spectrum.")


def check_offer(offered: Sequence[Offered], mode: ImportMode, rules: Rules) -> Iterator[ImportNotice]:
    """Check what would be offered.

    No two lines lead to one code and type of the project side, because each of its codes leads to one of Spectrum's.
    """
    lines = [line for line in offered if line.change != "gone"]
    if not offered:
        yield _about_all("no_lines", "Spectrum has no line with an amount in this job.")
    if len(lines) > MAX_LINES:
        message = f"Spectrum has {len(lines)} lines with an amount; one budget can have at most {MAX_LINES}."
        yield _about_all("too_many_lines", message)
    yield from _check_codes(lines, rules)
    for line in lines:
        amount = write_cents(line.original)
        if mode == "take" and line.original < 0:
            message = f"The original is {amount}; the project side takes none below 0.00."
            yield _about_line(line.key, "not_positive", message)
        if abs(line.original) > MAX_ORIGINAL:
            message = f"The original is {amount}; an export writes at most ±{write_cents(MAX_ORIGINAL)}."
            yield _about_line(line.key, "amount_out_of_range", message)


def find_notices(reading: Snapshot) -> tuple[ImportNotice, ...]:
    """Find what a person should know about a full reading, line by line; no more than fit a message."""
    lines = reading.index_lines()
    found = (notice for key in sorted(lines) for notice in _notice_line(lines[key]))
    return tuple(islice(found, MOST_NOTICES))


def write_offer(
    key: BudgetKey,
    identity: tuple[UUID, str],
    reading: Snapshot,
    offered: Sequence[Offered],
    rules: Rules,
) -> ImportReady:
    """Write what is offered.

    Args:
        key: of the budget.
        identity: of the import, and its currency.
        reading: which it is of.
        offered: by ``list_offered``, and checked.
        rules: which have the maps.
    """
    phases, kinds = reverse_phases(rules), reverse_cost_types(rules)
    header, (import_id, currency) = reading.header, identity
    before = [line.previous for line in offered if line.previous is not None]
    return ImportReady(
        **key._asdict(),
        import_id=import_id,
        company_code=header.company_code,
        job_number=header.job_number,
        currency=currency,
        read_to=header.read_to,
        total_spectrum=write_cents(header.total_original or 0),
        total_import=write_cents(sum(line.original for line in offered)),
        total_before=write_cents(sum(before)) if before else None,
        lines=tuple(_write_line(line, phases, kinds) for line in offered),
        notices=find_notices(reading),
    )


def _has_something(line: ReadLine) -> bool:
    """Whether there is anything to take: an original, or what is left under the bridge's own references."""
    return bool(line.original or line.bridge_revision)


def _check_codes(lines: Iterable[Offered], rules: Rules) -> Iterator[ImportNotice]:
    phases, kinds = reverse_phases(rules), reverse_cost_types(rules)
    for phase in sorted({line.key[0] for line in lines}):
        if phase in phases.ambiguous:
            message = f"Several cost codes in phases.csv have phase {phase}; mark one of them as preferred."
            yield ImportNotice(phase_code=phase, spectrum_cost_type=None, code="ambiguous_phase", message=message)
        elif phase not in phases.codes and (rules.unmapped == "refuse" or not _is_writable(phase)):
            message = f"No cost code in phases.csv has phase {phase}."
            yield ImportNotice(phase_code=phase, spectrum_cost_type=None, code="unmapped_phase", message=message)
    for kind in sorted({line.key[1] for line in lines}):
        if kind in kinds.ambiguous:
            message = f"Several rows of cost_types.csv have Spectrum's cost type {kind}; mark one of them as preferred."
            yield ImportNotice(phase_code=None, spectrum_cost_type=kind, code="ambiguous_type", message=message)
        elif kind not in kinds.codes and (rules.unmapped == "refuse" or FORBIDDEN_IN_KEYS.search(kind)):
            message = f"No row of cost_types.csv has Spectrum's cost type {kind}."
            yield ImportNotice(phase_code=None, spectrum_cost_type=kind, code="unmapped_spectrum_type", message=message)


def _is_writable(phase: str) -> bool:
    """Check that an export could name a phase; those of the maps are checked where the rules are."""
    return "-" not in phase and not FORBIDDEN_IN_KEYS.search(phase)


def _notice_line(line: ReadLine) -> Iterator[ImportNotice]:
    original, bridge, others = line.original or 0, line.bridge_revision or 0, line.other_revision or 0
    if others:
        message = f"Others have revised this line by {_write_grouped(others)}; that stays in Spectrum and is not taken."
        yield _about_line(line.key, "others_revised", message)
    if line.current != original + bridge + others:
        current, total = write_cents(line.current), write_cents(original + bridge + others)
        message = f"Spectrum's current estimate is {current}, and original and revisions add up to {total}."
        yield _about_line(line.key, "current_differs", message)
    if _has_something(line):
        if line.status == "C":
            yield _about_line(line.key, "phase_complete", "The phase is complete in Spectrum.")
        return
    yield _about_line(line.key, "zero_skipped", "Spectrum has this line at 0.00; it is not offered.")
    if line.job_to_date_cost:
        message = f"Spectrum has a cost to date of {write_cents(line.job_to_date_cost)} and no estimate for this line."
        yield _about_line(line.key, "costs_without_estimate", message)


def _write_line(line: Offered, phases: ReverseMap, kinds: ReverseMap) -> ImportLine:
    phase, kind = line.key
    found = line.found
    return ImportLine(
        cost_code=phases.codes.get(phase),
        cost_type=kinds.codes.get(kind),
        phase_code=phase,
        spectrum_cost_type=kind,
        description=line.description,
        original_amount=write_cents(line.original),
        revision_amount=write_cents(line.revision),
        other_revision=_write_optional(found.other_revision if found else None),
        job_to_date_cost=_write_optional(found.job_to_date_cost if found else None),
        change=line.change,
        previous_amount=_write_optional(line.previous),
        budget_line_item_id=line.item_id,
    )


def _write_optional(cents: int | None) -> str | None:
    return None if cents is None else write_cents(cents)


def _write_grouped(cents: int) -> str:
    whole, places = divmod(abs(cents), 100)
    return f"{'-' if cents < 0 else ''}{whole:,}.{places:02d}"


def _about_all(code: str, message: str) -> ImportNotice:
    return ImportNotice(phase_code=None, spectrum_cost_type=None, code=code, message=message)


def _about_line(key: LineKey, code: str, message: str) -> ImportNotice:
    return ImportNotice(phase_code=key[0], spectrum_cost_type=key[1], code=code, message=message)
