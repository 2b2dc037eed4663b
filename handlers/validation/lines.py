"""The lines, each mapped to the phase and cost type under which Spectrum would hold it, or else what is wrong."""

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Final, TypeVar

from contracts.outbound import BudgetError, Notice
from contracts.text import is_blank
from handlers.budget import SpectrumLine
from handlers.rules import CostType, Phase, Rules
from handlers.validation.amounts import Hundredths, add_up, check_amounts, read_hundredths
from handlers.validation.codes import check_codes, find_cost_types, find_phases
from handlers.validation.columns import NO_PROBLEMS, Columns, Problems
from handlers.validation.descriptions import (
    check_descriptions,
    check_phases,
    choose_description,
    collect_descriptions,
    shorten_description,
)
from handlers.validation.errors import Problem, shorten_value
from handlers.validation.limits import MAX_ORIGINAL, MAX_REVISION
from handlers.validation.quantities import check_quantities, read_quantities, read_unit

T = TypeVar("T", bound=Hashable)

_REPEATED_ITEM: Final = (
    Problem("budget_line_item_id", "duplicate_line", "Another line has the same budget_line_item_id."),
)


@dataclass(frozen=True, slots=True)
class MappedLines:
    """The lines as Spectrum would hold them and what an approver should know, or else what is wrong."""

    lines: tuple[SpectrumLine, ...]
    """In the order of phase and cost type; none where anything is wrong."""
    targets: Sequence[tuple[str, str]]
    """Phase and cost type of every line that has both, also where something is wrong."""
    added: Hundredths
    """The sum of original and revision."""
    errors: tuple[BudgetError, ...]
    notices: tuple[Notice, ...]


def map_lines(columns: Columns, rules: Rules) -> MappedLines:
    """Check and map the lines."""
    phases, kinds = find_phases(columns, rules), find_cost_types(columns, rules)
    found = [(phase, kind) for phase, kind in zip(phases, kinds, strict=True) if phase and kind]
    targets = [(phase.phase_code, kind.spectrum_cost_type) for phase, kind in found]
    originals = [read_hundredths(amount) for amount in columns.original_amounts]
    revisions = [read_hundredths(amount) for amount in columns.revision_amounts]
    candidates = collect_descriptions(phases, columns.descriptions)
    chosen = [
        choose_description(phase, own, candidates) for phase, own in zip(phases, columns.descriptions, strict=True)
    ]
    problems = (
        check_amounts("original_amount", columns.original_amounts, originals, MAX_ORIGINAL),
        check_amounts("revision_amount", columns.revision_amounts, revisions, MAX_REVISION),
        _check_sub_jobs(columns.sub_jobs),
        check_quantities(columns) if rules.quantities else NO_PROBLEMS,
        dict.fromkeys(_find_repeated(columns.item_ids), _REPEATED_ITEM),
        check_codes(columns),
        check_phases(phases, candidates),
        check_descriptions(chosen, rules),
        _check_targets(columns, phases, kinds, targets),
    )
    added = add_up([*originals, *revisions])
    if any(problems) and (errors := _list_errors(columns.item_ids, problems)):
        return MappedLines((), targets, added, errors, ())
    sent = [shorten_description(description) for description in chosen]
    mapped = map(
        SpectrumLine,
        [phase.phase_code for phase, _ in found],
        [kind.spectrum_cost_type for _, kind in found],
        columns.item_ids,
        sent,
        map(int, originals),
        map(int, revisions),
        [kind.price_method_code for _, kind in found],
        read_quantities(columns) if rules.quantities else repeat(None),
        map(read_unit, columns.units) if rules.quantities else repeat(None),
    )
    # No two have the same phase and cost type, so these alone decide about the order.
    return MappedLines(tuple(sorted(mapped)), targets, added, (), _list_notices(columns.item_ids, chosen, sent))


def _list_errors(item_ids: Sequence[int], problems: Sequence[Problems]) -> tuple[BudgetError, ...]:
    return tuple(
        problem.of_line(item_id)
        for number, item_id in enumerate(item_ids)
        for found in problems
        for problem in found.get(number, ())
    )


def _list_notices(item_ids: Sequence[int], chosen: Sequence[str], sent: Sequence[str]) -> tuple[Notice, ...]:
    if chosen == sent:
        return ()
    return tuple(
        Notice(
            budget_line_item_id=item_id,
            code="description_shortened",
            message=f"The description {before!r} is sent as {after!r}.",
        )
        for item_id, before, after in zip(item_ids, chosen, sent, strict=True)
        if before != after
    )


def _check_sub_jobs(sub_jobs: Sequence[str | None]) -> Problems:
    if not any(sub_jobs):
        return NO_PROBLEMS
    return {
        number: [Problem("sub_job", "sub_job", f"Sub job {shorten_value(found)}: the Spectrum connector takes none.")]
        for number, found in enumerate(sub_jobs)
        if found and not is_blank(found)
    }


def _check_targets(
    columns: Columns,
    phases: Sequence[Phase | None],
    kinds: Sequence[CostType | None],
    targets: Sequence[tuple[str, str]],
) -> Problems:
    """Check that each line has a phase and a cost type, and no two have the same."""
    repeated = {targets[number] for number in _find_repeated(targets)}
    if not repeated and len(targets) == len(phases):
        return NO_PROBLEMS
    problems: dict[int, list[Problem]] = {}
    for number, (phase, kind) in enumerate(zip(phases, kinds, strict=True)):
        wrong = problems[number] = []
        if phase is None:
            message = f"Cost code {columns.cost_codes[number]} has no row in phases.csv."
            wrong.append(Problem("cost_code", "unmapped_cost_code", message))
        if kind is None:
            message = f"Cost type {columns.cost_types[number]} has no row in cost_types.csv."
            wrong.append(Problem("cost_type", "unmapped_cost_type", message))
        if phase and kind and (phase.phase_code, kind.spectrum_cost_type) in repeated:
            both = f"phase {shorten_value(phase.phase_code)} and cost type {shorten_value(kind.spectrum_cost_type)}"
            wrong.append(Problem("cost_code", "duplicate_target", f"Another line is mapped to the same {both}."))
    return problems


def _find_repeated(values: Sequence[T]) -> list[int]:
    """Find the places of values that are there more than once."""
    if len(set(values)) == len(values):
        return []
    counts = Counter(values)
    return [number for number, value in enumerate(values) if counts[value] > 1]
