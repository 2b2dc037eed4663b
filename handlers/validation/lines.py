"""The lines, each mapped to the phase and cost type under which Spectrum would hold it, or refused."""

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Final, TypeVar

from contracts.inbound import BudgetLine
from contracts.outbound import BudgetError, Notice
from contracts.text import is_blank
from handlers.budget import SpectrumLine
from handlers.rules import CostType, Phase, Rules
from handlers.validation.amounts import Hundredths, add_up, check_amount, read_hundredths
from handlers.validation.descriptions import (
    check_description,
    check_phase,
    choose_description,
    collect_descriptions,
    shorten_description,
)
from handlers.validation.errors import Problem, shorten_value
from handlers.validation.limits import MAX_ORIGINAL, MAX_REVISION
from handlers.validation.quantities import check_quantity, read_unit

T = TypeVar("T", bound=Hashable)

_REPEATED_ITEM: Final = (
    Problem("budget_line_item_id", "duplicate_line", "Another line has the same budget_line_item_id."),
)


@dataclass(frozen=True, slots=True)
class MappedLines:
    """The lines that could be mapped, what is wrong with the others, and what an approver should know."""

    lines: tuple[SpectrumLine, ...]
    """In the order of phase and cost type."""
    targets: Sequence[tuple[str, str]]
    """Phase and cost type of every line that has both, also of those that are refused."""
    added: Hundredths
    """The sum of original and revision over all lines."""
    errors: tuple[BudgetError, ...]
    notices: tuple[Notice, ...]


def map_lines(lines: Sequence[BudgetLine], rules: Rules) -> MappedLines:
    """Check and map the lines."""
    found = [(rules.phases.get(line.cost_code), rules.cost_types.get(line.cost_type)) for line in lines]
    targets = [(phase.phase_code, kind.spectrum_cost_type) for phase, kind in found if phase and kind]
    repeated_targets = _find_repeated(targets)
    repeated_items = _find_repeated([line.budget_line_item_id for line in lines])
    descriptions = collect_descriptions(lines, rules)
    mapped: list[SpectrumLine] = []
    amounts: list[Hundredths] = []
    errors: list[BudgetError] = []
    notices: list[Notice] = []
    for line, (phase, kind) in zip(lines, found, strict=True):
        original, revision = read_hundredths(line.original_amount), read_hundredths(line.revision_amount)
        amounts += original, revision
        description = choose_description(line, phase, descriptions) if phase else line.description
        problems = (
            *check_amount("original_amount", line.original_amount, original, MAX_ORIGINAL),
            *check_amount("revision_amount", line.revision_amount, revision, MAX_REVISION),
            *(_check_sub_job(line.sub_job) if line.sub_job else ()),
            *(check_quantity(line) if rules.quantities else ()),
            *(_REPEATED_ITEM if line.budget_line_item_id in repeated_items else ()),
            *(check_phase(phase.phase_code, descriptions) if phase else ()),
            *check_description(description, rules),
            *_check_target(line, phase, kind, repeated_targets),
        )
        if problems or not phase or not kind:
            errors.extend(problem.of_line(line.budget_line_item_id) for problem in problems)
            continue
        sent = shorten_description(description)
        if sent != description:
            notices.append(_notice_shortened(line, description, sent))
        mapped.append(_map_line(line, phase, kind, sent, rules, int(original), int(revision)))
    mapped.sort(key=attrgetter("key"))
    return MappedLines(tuple(mapped), targets, add_up(amounts), tuple(errors), tuple(notices))


def _find_repeated(values: Sequence[T]) -> frozenset[T]:
    if len(set(values)) == len(values):
        return frozenset()
    return frozenset(value for value, count in Counter(values).items() if count > 1)


def _check_sub_job(sub_job: str) -> Sequence[Problem]:
    if is_blank(sub_job):
        return ()
    message = f"Sub job {shorten_value(sub_job)}: the Spectrum connector takes none."
    return (Problem("sub_job", "sub_job", message),)


def _check_target(
    line: BudgetLine, phase: Phase | None, kind: CostType | None, repeated: frozenset[tuple[str, str]]
) -> Sequence[Problem]:
    if phase and kind and (phase.phase_code, kind.spectrum_cost_type) not in repeated:
        return ()
    problems = []
    if phase is None:
        message = f"Cost code {line.cost_code} has no row in phases.csv."
        problems.append(Problem("cost_code", "unmapped_cost_code", message))
    if kind is None:
        message = f"Cost type {line.cost_type} has no row in cost_types.csv."
        problems.append(Problem("cost_type", "unmapped_cost_type", message))
    if phase and kind:
        message = (
            f"Another line is mapped to the same phase {phase.phase_code} and cost type {kind.spectrum_cost_type}."
        )
        problems.append(Problem("cost_code", "duplicate_target", message))
    return problems


def _map_line(  # noqa: PLR0913, PLR0917 - what a line is made of
    line: BudgetLine, phase: Phase, kind: CostType, description: str, rules: Rules, original: int, revision: int
) -> SpectrumLine:
    return SpectrumLine(
        phase.phase_code,
        kind.spectrum_cost_type,
        line.budget_line_item_id,
        description,
        original,
        revision,
        kind.price_method_code,
        int(read_hundredths(line.quantity or "0")) if rules.quantities else None,
        read_unit(line) if rules.quantities else None,
    )


def _notice_shortened(line: BudgetLine, description: str, sent: str) -> Notice:
    message = f"The description {description!r} is sent as {sent!r}."
    return Notice(budget_line_item_id=line.budget_line_item_id, code="description_shortened", message=message)
