"""The lines, each mapped to the phase and cost type under which Spectrum would hold it, or refused."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from operator import attrgetter

from contracts.inbound import BudgetLine
from contracts.outbound import BudgetError, Notice
from contracts.text import is_blank
from handlers.budget import SpectrumLine
from handlers.rules import CostType, Phase, Rules
from handlers.validation.amounts import check_amounts, count_hundredths
from handlers.validation.descriptions import (
    check_description,
    check_phase,
    choose_description,
    collect_descriptions,
    shorten_description,
)
from handlers.validation.errors import Problem, shorten_value
from handlers.validation.quantities import check_quantity, read_unit


@dataclass(frozen=True, slots=True)
class MappedLines:
    """The lines that could be mapped, what is wrong with the others, and what an approver should know."""

    lines: tuple[SpectrumLine, ...]
    targets: frozenset[tuple[str, str]]
    """Phase and cost type of every line that has both, also of those that are refused."""
    errors: tuple[BudgetError, ...]
    notices: tuple[Notice, ...]


def map_lines(lines: tuple[BudgetLine, ...], rules: Rules) -> MappedLines:
    """Check and map the lines."""
    descriptions = collect_descriptions(lines, rules)
    items = Counter(line.budget_line_item_id for line in lines)
    targets = Counter(target for line in lines if (target := _find_target(line, rules)))
    mapped: list[SpectrumLine] = []
    errors: list[BudgetError] = []
    notices: list[Notice] = []
    for line in lines:
        phase, kind = rules.phases.get(line.cost_code), rules.cost_types.get(line.cost_type)
        description = choose_description(line, phase, descriptions) if phase else line.description
        problems = [*_check_figures(line, rules)]
        if items[line.budget_line_item_id] > 1:
            message = "Another line has the same budget_line_item_id."
            problems.append(Problem("budget_line_item_id", "duplicate_line", message))
        if phase:
            problems.extend(check_phase(phase.phase_code, descriptions))
        problems.extend(check_description(description, rules))
        problems.extend(_check_target(line, phase, kind, targets))
        if problems or not phase or not kind:
            errors.extend(problem.of_line(line.budget_line_item_id) for problem in problems)
            continue
        sent = shorten_description(description)
        if sent != description:
            notices.append(_notice_shortened(line, description, sent))
        mapped.append(_map_line(line, phase, kind, sent, rules))
    mapped.sort(key=attrgetter("key"))
    return MappedLines(tuple(mapped), frozenset(targets), tuple(errors), tuple(notices))


def _find_target(line: BudgetLine, rules: Rules) -> tuple[str, str] | None:
    phase, kind = rules.phases.get(line.cost_code), rules.cost_types.get(line.cost_type)
    return (phase.phase_code, kind.spectrum_cost_type) if phase and kind else None


def _check_target(
    line: BudgetLine, phase: Phase | None, kind: CostType | None, targets: Counter[tuple[str, str]]
) -> Iterator[Problem]:
    if phase is None:
        yield Problem("cost_code", "unmapped_cost_code", f"Cost code {line.cost_code} has no row in phases.csv.")
    if kind is None:
        message = f"Cost type {line.cost_type} has no row in cost_types.csv."
        yield Problem("cost_type", "unmapped_cost_type", message)
    if phase and kind and targets[phase.phase_code, kind.spectrum_cost_type] > 1:
        message = (
            f"Another line is mapped to the same phase {phase.phase_code} and cost type {kind.spectrum_cost_type}."
        )
        yield Problem("cost_code", "duplicate_target", message)


def _check_figures(line: BudgetLine, rules: Rules) -> Iterator[Problem]:
    yield from check_amounts(line)
    if line.sub_job and not is_blank(line.sub_job):
        message = f"Sub job {shorten_value(line.sub_job)}: the Spectrum connector takes none."
        yield Problem("sub_job", "sub_job", message)
    if rules.quantities:
        yield from check_quantity(line)


def _map_line(line: BudgetLine, phase: Phase, kind: CostType, description: str, rules: Rules) -> SpectrumLine:
    return SpectrumLine(
        phase_code=phase.phase_code,
        cost_type=kind.spectrum_cost_type,
        item_id=line.budget_line_item_id,
        description=description,
        original=count_hundredths(line.original_amount),
        revision=count_hundredths(line.revision_amount),
        price_method_code=kind.price_method_code,
        quantity=count_hundredths(line.quantity or Decimal(0)) if rules.quantities else None,
        unit=read_unit(line) if rules.quantities else None,
    )


def _notice_shortened(line: BudgetLine, description: str, sent: str) -> Notice:
    message = f"The description {description!r} is sent as {sent!r}."
    return Notice(budget_line_item_id=line.budget_line_item_id, code="description_shortened", message=message)
